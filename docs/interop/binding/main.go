// Command binding is the Go side of docs/interop/binding.sh, which shows that events written to a Redis stream with the
// package redisstreams are read by another implementation of the binding as what they were, and the other way round.
//
//	binding generate -events 500 >manifest               make events up, the same ones every time
//	binding write -redis addr -stream name <manifest     write them, in their order
//	binding read -redis addr -stream name <manifest      read the stream and compare it with them
//
// The manifest has one event in each line, as JSON; see expectation. read prints what is different to standard error
// and the number of events to standard output; it fails when there is a difference.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const timeout = 2 * time.Minute

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	err := run(ctx, os.Args[1:])
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "binding:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("want generate, write or read")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	events := flags.Int("events", 500, "how many to generate, at least the fixed cases")
	seed := flags.Uint64("seed", 1, "other numbers generate other events")
	addr := flags.String("redis", "", "`host:port` of the server")
	stream := flags.String("stream", "", "`name` of the stream")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if args[0] == "generate" {
		return writeManifest(os.Stdout, generate(*events, *seed))
	}
	manifest, err := readManifest(os.Stdin)
	if err != nil {
		return err
	}
	client := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{Addrs: []string{*addr}}))
	defer func() { _ = client.Close() }()
	switch args[0] {
	case "write":
		return writeAll(ctx, client, *stream, manifest)
	case "read":
		return compareAll(ctx, client, *stream, manifest)
	default:
		return fmt.Errorf("unknown command %q", args[0])
	}
}

func writeManifest(to io.Writer, manifest []expectation) error {
	out := bufio.NewWriter(to)
	lines := json.NewEncoder(out)
	for i := range manifest {
		if err := lines.Encode(&manifest[i]); err != nil {
			return fmt.Errorf("write manifest: %w", err)
		}
	}
	return out.Flush()
}

func readManifest(from io.Reader) ([]expectation, error) {
	var manifest []expectation
	for lines := json.NewDecoder(from); ; {
		var e expectation
		switch err := lines.Decode(&e); {
		case errors.Is(err, io.EOF):
			return manifest, nil
		case err != nil:
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		manifest = append(manifest, e)
	}
}
