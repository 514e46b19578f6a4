package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/config"
)

// maxKeysScanned bounds the search for the names of streams that an error suggests.
const maxKeysScanned = 10_000

// checkStream returns an error unless a stream is there or is configured, so that a mistyped name is not an empty
// answer.
func checkStream(ctx context.Context, client redis.UniversalClient, name string, loaded *config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, tailTimeout)
	defer cancel()
	found, err := client.Exists(ctx, name).Result()
	if err != nil {
		return failed(fmt.Errorf("look for stream %q: %w", name, withRedisRemedy(err)))
	}
	var names []string
	for i := range loaded.Gateway.Streams {
		names = append(names, loaded.Gateway.Streams[i].Name)
	}
	if found > 0 || slices.Contains(names, name) {
		return nil
	}
	return fmt.Errorf("no such stream %q; %s", name, suggestStreams(append(names, streamsOf(ctx, client)...)))
}

// streamsOf returns names of streams that this Redis holds, those of the gateway's own state left out.
func streamsOf(ctx context.Context, client redis.UniversalClient) (names []string) {
	keys := client.ScanType(ctx, 0, "*", 1000, "stream").Iterator()
	for n := 0; n < maxKeysScanned && keys.Next(ctx); n++ {
		if !strings.HasPrefix(keys.Val(), "streamgate:") {
			names = append(names, keys.Val())
		}
	}
	return names
}

func suggestStreams(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return "this Redis holds no streams; is it the one of the gateway? Name it with --redis or --config"
	}
	const most = 10
	if len(names) > most {
		names = append(names[:most:most], "...")
	}
	return "there are: " + strings.Join(names, ", ")
}
