package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Features lists what a server offers beyond Redis 7.0.5 and Valkey 7.2, as far as this package uses it.
type Features struct {
	// Server is redis or valkey, Version its own version (Valkey calls itself Redis 7.2.4 elsewhere); both are empty if
	// INFO is not allowed.
	Server, Version string
	// Fsync: WAITAOF is supported (Redis 7.2, Valkey 7.2), which [WithFsync] requires unless the server fsyncs always.
	Fsync bool
	// Claim: XREADGROUP CLAIM is supported (Redis 8.4), so that the entries of a dead member are taken over the moment
	// its lease ends, instead of up to a second later.
	Claim bool
	// TrimAcknowledged: XADD ACKED is supported (Redis 8.2), which [WithTrimAcknowledged] requires.
	TrimAcknowledged bool
}

// Probe finds out what the server that holds the stream supports, by commands that change nothing; the stream need not
// exist. A command that the user may not run counts as unsupported. It is for programs that show or check this: sender
// and consumer find out by themselves, and again after every outage, because another server may have taken over.
func Probe(ctx context.Context, client redis.UniversalClient, stream string) (Features, error) {
	server, err := masterOf(ctx, client, stream)
	if err != nil {
		return Features{}, err
	}
	key := Key(stream, "probe") // never exists: the commands create neither a stream nor a group
	info, infoErr := server.Info(ctx, "server").Result()
	fsync := server.Do(ctx, "waitaof", 0, 0, 1).Err()
	claim := server.Do(ctx, "xreadgroup", "group", "probe", "probe", "claim", 1, "streams", key, ">").Err()
	acked := server.Do(ctx, "xadd", key, "nomkstream", "acked", "maxlen", "~", 1, "*", "probe", "1").Err()
	for _, err := range []error{infoErr, fsync, claim, acked} {
		if err != nil && !IsReply(err) {
			return Features{}, fmt.Errorf("probe the server: %w", err)
		}
	}
	f := Features{Fsync: fsync == nil, Claim: IsReply(claim, ReplyNoGroup), TrimAcknowledged: errors.Is(acked, redis.Nil)}
	f.Server, f.Version = serverVersion(info)
	return f, nil
}

// masterOf returns the server that holds the stream.
func masterOf(ctx context.Context, client redis.UniversalClient, stream string) (redis.UniversalClient, error) {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, stream)
	}
	return client, nil
}

// serverVersion reads INFO.
func serverVersion(info string) (server, version string) {
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "valkey_version":
			return "valkey", value
		case "redis_version":
			server, version = "redis", value
		}
	}
	return server, version
}
