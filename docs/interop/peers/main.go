// Command peers records what other programs write to Redis streams.
//
// It lets each peer publish a fixed set of messages to a redis-server of its own, reads the entries back as they are
// there, and writes one JSON file for each peer:
//
//	go run . [-redis-server path] [-addr host:port] [-python path] directory
//	go run . -compare directory directory
//
// README.md in this directory says which peers there are, and which of them are run and which are rebuilt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// peer is one writer of streams. publish writes one entry to the stream for each case, in their order.
type peer struct {
	name    string
	version string
	how     string
	cases   []string
	publish func(ctx context.Context, t target) error
}

// target is where a peer publishes to.
type target struct {
	addr   string
	stream string
	python string
	client *redis.Client
}

func peers() ([]peer, error) {
	var found []peer
	for _, newPeer := range []func() (peer, error){newWatermill, newTriggermesh, newDapr, newRedpandaConnect, newOrigin} {
		p, err := newPeer()
		if err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	server := flags.String("redis-server", "redis-server", "the `program` to start")
	addr := flags.String("addr", "", "`host:port` of a server to use instead of starting one; streams named peers.* are deleted there")
	python := flags.String("python", "python3", "a Python `program` that has redis-py")
	compare := flags.Bool("compare", false, "compare two directories, record nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *compare {
		if flags.NArg() != 2 {
			return errors.New("-compare wants two directories")
		}
		return compareDirs(flags.Arg(0), flags.Arg(1))
	}
	if flags.NArg() != 1 {
		return errors.New("want one directory to write to")
	}
	if *addr != "" {
		return recordAll(ctx, *addr, *python, flags.Arg(0))
	}
	return withServer(ctx, *server, func(addr string) error { return recordAll(ctx, addr, *python, flags.Arg(0)) })
}

func recordAll(ctx context.Context, addr, python, dir string) error {
	all, err := peers()
	if err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = client.Close() }()
	for _, p := range all {
		f, err := record(ctx, p, target{addr: addr, stream: "peers." + p.name, python: python, client: client})
		if err != nil {
			return fmt.Errorf("record %s: %w", p.name, err)
		}
		if err := f.write(filepath.Join(dir, p.name+".json")); err != nil {
			return fmt.Errorf("record %s: %w", p.name, err)
		}
		fmt.Printf("peers: %s: %d entries of %s\n", p.name, len(f.Entries), p.version)
	}
	return nil
}

// record lets the peer publish to an empty stream and returns what is in it then.
func record(ctx context.Context, p peer, t target) (fixture, error) {
	if err := openStream(ctx, t.client, t.stream); err != nil {
		return fixture{}, fmt.Errorf("open stream: %w", err)
	}
	if err := p.publish(ctx, t); err != nil {
		return fixture{}, fmt.Errorf("publish: %w", err)
	}
	entries, err := readStream(ctx, t.client, t.stream)
	if err != nil {
		return fixture{}, fmt.Errorf("read: %w", err)
	}
	if len(entries) != len(p.cases) {
		return fixture{}, fmt.Errorf("found %d entries for %d cases", len(entries), len(p.cases))
	}
	for i, name := range p.cases {
		if slices.Contains(p.cases[:i], name) {
			return fixture{}, fmt.Errorf("case %q is there twice", name)
		}
		entries[i].Name = name
	}
	return fixture{Peer: p.name, Version: p.version, How: p.how, Entries: entries}, nil
}
