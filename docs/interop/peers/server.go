package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// firstID is the id before the first entry of each stream, in 2100. Redis gives an entry the next id after the last one
// where its own clock is behind, so that every run finds the same ids though the peers leave them to the server.
const firstID = "4102444800000-0"

// withServer starts a redis-server that keeps nothing, calls f with its address and ends it.
func withServer(ctx context.Context, program string, f func(addr string) error) (err error) {
	dir, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	port, err := freePort()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, program, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "no", "--logfile", filepath.Join(dir, "log"))
	if err := cmd.Start(); err != nil {
		stop()
		return fmt.Errorf("start redis-server: %w", err)
	}
	defer func() {
		stop()
		_ = cmd.Wait() // it was killed
	}()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := awaitServer(ctx, addr); err != nil {
		return err
	}
	return f(addr)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func awaitServer(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for redis-server: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// openStream makes the stream an empty one whose entries get the ids after firstID.
func openStream(ctx context.Context, client *redis.Client, stream string) error {
	const group = "peers"
	for _, command := range [][]any{
		{"DEL", stream},
		{"XGROUP", "CREATE", stream, group, "$", "MKSTREAM"}, // the one way to an empty stream
		{"XGROUP", "DESTROY", stream, group},
		{"XSETID", stream, firstID},
	} {
		if err := client.Do(ctx, command...).Err(); err != nil {
			return err
		}
	}
	return nil
}

// readStream returns the entries of the stream. It reads the plain reply: go-redis' XRange makes a map of the fields,
// which loses their order and all but one of those with the same name.
func readStream(ctx context.Context, client *redis.Client, stream string) ([]entry, error) {
	reply, err := client.Do(ctx, "XRANGE", stream, "-", "+").Slice()
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(reply))
	for _, raw := range reply {
		pair, ok := raw.([]any)
		if !ok || len(pair) != 2 {
			return nil, fmt.Errorf("an entry is %T of %d", raw, len(pair))
		}
		id, isID := pair[0].(string)
		values, isList := pair[1].([]any)
		if !isID || !isList || len(values)%2 != 0 {
			return nil, fmt.Errorf("an entry is %T, %T of %d", pair[0], pair[1], len(values))
		}
		e := entry{ID: id}
		for i := 0; i < len(values); i += 2 {
			name, isName := values[i].(string)
			value, isValue := values[i+1].(string)
			if !isName || !isValue {
				return nil, fmt.Errorf("a field is %T, %T", values[i], values[i+1])
			}
			e.Fields = append(e.Fields, [2]text{text(name), text(value)})
		}
		entries = append(entries, e)
	}
	return entries, nil
}
