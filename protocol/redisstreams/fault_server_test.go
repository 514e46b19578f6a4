package redisstreams_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
)

// fault is a state in which a server answers, but not what it is asked for.
type fault struct {
	code string
	opts []redistest.Option
	// apply puts the server into that state, and returns what takes it out again.
	apply func(t testing.TB, server *redistest.Server, stream string) (lift func())
}

func faults() []fault {
	return []fault{
		{"OOM", nil, configured("maxmemory", "1", "0")},
		{"NOREPLICAS", nil, configured("min-replicas-to-write", "1", "0")},
		{"MISCONF", []redistest.Option{redistest.WithArgs("--save", "3600 1")}, failingSnapshots},
		{"READONLY", nil, readOnly},
		{"LOADING", loadingOptions(), loading},
		{"WRONGTYPE", nil, wrongType},
	}
}

func command(t testing.TB, client *redis.Client, args ...any) {
	t.Helper()
	if err := client.Do(context.Background(), args...).Err(); err != nil {
		t.Errorf("%v: %v", args, err)
	}
}

func configured(name, bad, good string) func(testing.TB, *redistest.Server, string) func() {
	return func(t testing.TB, server *redistest.Server, _ string) func() {
		t.Helper()
		command(t, server.Client(), "CONFIG", "SET", name, bad)
		return func() { command(t, server.Client(), "CONFIG", "SET", name, good) }
	}
}

// failingSnapshots puts a directory where the snapshot should go: permissions would not stop a test that runs as root.
func failingSnapshots(t testing.TB, server *redistest.Server, _ string) func() {
	t.Helper()
	client := server.Client()
	if err := os.Mkdir(filepath.Join(client.ConfigGet(t.Context(), "dir").Val()["dir"], "dump.rdb"), 0o700); err != nil {
		t.Fatal(err)
	}
	command(t, client, "BGSAVE")
	redistest.Eventually(t, "the snapshot has failed", func() bool {
		return strings.Contains(client.Info(t.Context(), "persistence").Val(), "rdb_last_bgsave_status:err")
	})
	return func() { command(t, client, "CONFIG", "SET", "stop-writes-on-bgsave-error", "no") }
}

// readOnly makes the server a replica of a master that is not there.
func readOnly(t testing.TB, server *redistest.Server, _ string) func() {
	t.Helper()
	command(t, server.Client(), "REPLICAOF", "127.0.0.1", "1")
	return func() { command(t, server.Client(), "REPLICAOF", "NO", "ONE") }
}

func loadingOptions() []redistest.Option {
	return []redistest.Option{redistest.WithArgs(
		"--enable-debug-command", "yes", "--rdbcompression", "no", "--loading-process-events-interval-bytes", "1024")}
}

// loading makes the server load its own data, slowly: it answers between two keys.
func loading(t testing.TB, server *redistest.Server, _ string) func() {
	t.Helper()
	client := server.Client()
	for i := range 300 {
		command(t, client, "SET", fmt.Sprintf("filler%d", i), strings.Repeat("x", 2048))
	}
	command(t, client, "CONFIG", "SET", "key-load-delay", "100000")
	reloaded := make(chan error, 1)
	reloader := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1, ReadTimeout: -1})
	go func() { reloaded <- reloader.Do(context.Background(), "DEBUG", "RELOAD").Err() }()
	redistest.Eventually(t, "the server is loading", func() bool {
		return strings.HasPrefix(fmt.Sprint(client.Ping(t.Context()).Err()), "LOADING")
	})
	return func() {
		command(t, client, "CONFIG", "SET", "key-load-delay", "0")
		if err := <-reloaded; err != nil {
			t.Errorf("DEBUG RELOAD: %v", err)
		}
		_ = reloader.Close()
	}
}

func wrongType(t testing.TB, server *redistest.Server, stream string) func() {
	t.Helper()
	command(t, server.Client(), "SET", stream, "no stream")
	return func() { command(t, server.Client(), "DEL", stream) }
}

// commandsSeen returns how many commands the server was sent so far, refused ones included, but not those with which a
// test watches it.
func commandsSeen(t testing.TB, server *redistest.Server) int {
	t.Helper()
	info, err := server.Client().Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for line := range strings.Lines(info) {
		name, values, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":")
		if !ok || name == "info" || name == "ping" || strings.HasPrefix(name, "config") {
			continue
		}
		for value := range strings.SplitSeq(strings.TrimSpace(values), ",") {
			var n int
			for _, key := range []string{"calls=%d", "rejected_calls=%d"} {
				if _, err := fmt.Sscanf(value, key, &n); err == nil {
					sum += n
				}
			}
		}
	}
	return sum
}
