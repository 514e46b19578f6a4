// Command peers records what other programs write to Redis streams.
//
// It lets each peer publish a fixed set of messages to a redis-server of its own, reads the entries back as they are
// there, and writes one JSON file for each peer:
//
//	go run . [-redis-server path] [-addr host:port] [-python path] [-environments path] directory
//	go run . -compare directory directory
//
// README.md in this directory says which peers there are, and which of them are run and which are rebuilt.
package main

import (
	"cmp"
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
	stream  string // default peers.NAME
	rules   bool   // flat entries, which rules of the layout fields read; their file goes into the directory fields
	publish func(ctx context.Context, t target) error
}

// rulesDir is the directory of the files of peers whose entries are read by rules.
const rulesDir = "fields"

// target is where a peer publishes to.
type target struct {
	addr   string
	stream string
	python string
	client *redis.Client
	// environments holds the virtual environments and Node packages of the peers, by name and version.
	environments string
}

func peers() ([]peer, error) {
	var found []peer
	for _, newPeer := range []func() (peer, error){newWatermill, newTriggermesh, newDapr, newRedpandaConnect, newOrigin, newFastStream, newDebezium, newTaskiq, newBullMQ} {
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
	environments := flags.String("environments", ".", "the `directory` of the environments that run.sh makes")
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
	t := target{addr: *addr, python: *python, environments: *environments}
	if *addr != "" {
		return recordAll(ctx, t, flags.Arg(0))
	}
	return withServer(ctx, *server, func(addr string) error {
		t.addr = addr
		return recordAll(ctx, t, flags.Arg(0))
	})
}

func recordAll(ctx context.Context, t target, dir string) error {
	all, err := peers()
	if err != nil {
		return err
	}
	t.client = redis.NewClient(&redis.Options{Addr: t.addr})
	defer func() { _ = t.client.Close() }()
	if err := os.MkdirAll(filepath.Join(dir, rulesDir), 0o755); err != nil {
		return err
	}
	for _, p := range all {
		t.stream = cmp.Or(p.stream, "peers."+p.name)
		f, err := record(ctx, p, t)
		if err != nil {
			return fmt.Errorf("record %s: %w", p.name, err)
		}
		path := filepath.Join(dir, p.name+".json")
		if p.rules {
			path = filepath.Join(dir, rulesDir, p.name+".json")
		}
		if err := f.write(path); err != nil {
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
