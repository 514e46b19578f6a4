package embeddedredis

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestDataOutlivesTheServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first := begin(t, Options{DataDir: dir})
	if !first.Durable() || first.Kind() == KindInMemory {
		t.Errorf("kind %s, durable %v", first.Kind(), first.Durable())
	}
	add(t, first)
	end(t, first)
	second := begin(t, Options{DataDir: dir})
	if n := length(t, second); n != 1 {
		t.Errorf("entries after restart = %d, want 1", n)
	}
	for key, want := range map[string]string{
		"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "save": "", "port": "0",
	} {
		if got, err := client(t, second).ConfigGet(t.Context(), key).Result(); err != nil || got[key] != want {
			t.Errorf("%s = %q, %v; want %q", key, got[key], err, want)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "run"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket directory: %v, %v; want mode 0700", info, err)
	}
}

func TestLongAndStrangePathUsesTCP(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 90), "ä \"b\"\tc")
	s := begin(t, Options{DataDir: dir})
	opts, err := redis.ParseURL(s.URL())
	if err != nil || opts.Network != "tcp" || opts.Password == "" {
		t.Fatalf("network %q, password set %v, %v", opts.Network, opts.Password != "", err)
	}
	add(t, s)
	opts.Password = ""
	stranger := redis.NewClient(opts)
	t.Cleanup(func() { _ = stranger.Close() })
	if err := stranger.Ping(t.Context()).Err(); err == nil {
		t.Error("the server answers without a password")
	}
	if _, err := Start(t.Context(), Options{DataDir: dir}); !errors.Is(err, errInUse) {
		t.Errorf("second start: %v, want errInUse", err)
	}
	end(t, s)
	if n := length(t, begin(t, Options{DataDir: dir})); n != 1 {
		t.Errorf("entries after restart = %d, want 1", n)
	}
}

func TestStrangePathOnSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "e ?#%ä\"") // t.TempDir() would be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := begin(t, Options{DataDir: dir})
	if !strings.HasPrefix(s.URL(), "unix://") {
		t.Errorf("URL = %s, want a socket", s.URL())
	}
	add(t, s)
}

func TestKilledChildIsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begin(t, Options{DataDir: dir})
	add(t, s)
	if err := s.Err(); err != nil {
		t.Errorf("Err of a running server = %v", err)
	}
	kill(t, pid(t, s))
	if err := <-s.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Wait = %v, want the signal", err)
	}
	<-s.Done()
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Err = %v, want the signal", err)
	}
	end(t, s)
	if n := length(t, begin(t, Options{DataDir: dir})); n != 1 {
		t.Errorf("entries after kill -9 = %d, want 1", n)
	}
}

func TestCloseIsNotAFailure(t *testing.T) {
	t.Parallel()
	s := begin(t, Options{})
	if s.Durable() {
		t.Error("a temporary directory is called durable")
	}
	dir := filepath.Dir(filepath.Dir(strings.TrimPrefix(s.URL(), "unix://")))
	end(t, s)
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Close")
	}
	if err, open := <-s.Wait(); err != nil || open {
		t.Errorf("Wait after Close = %v, open %v; want it closed", err, open)
	}
	if err := errors.Join(s.Err(), s.Close()); err != nil {
		t.Errorf("after Close: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary directory after Close: %v", err)
	}
}

func TestSecondGatewayIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begin(t, Options{DataDir: dir})
	_, err := Start(t.Context(), Options{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "redis.dataDir") || !strings.Contains(err.Error(), dir) {
		t.Errorf("second start: %v, want the directory and the remedy", err)
	}
	if err := client(t, s).Ping(t.Context()).Err(); err != nil {
		t.Errorf("the first server after it: %v", err)
	}
}

// TestOrphanIsRefused: a server without a gateway, as a killed gateway leaves it outside Linux, is an error if it does
// not end.
func TestOrphanIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begin(t, Options{DataDir: dir})
	if err := os.Remove(filepath.Join(dir, "run", "lock")); err != nil { // as if the gateway were dead
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{DataDir: dir})
	if !errors.Is(err, errInUse) || !strings.Contains(err.Error(), "redis-cli") {
		t.Errorf("start beside an orphan: %v", err)
	}
	add(t, s)
}

func TestStartIsBoundedByContext(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ended, Options{DataDir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("start with ended context: %v", err)
	}
	silent := fakeServer(t, "exec sleep 60")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, Options{DataDir: t.TempDir(), LookPath: silent})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("start of a silent server: %v", err)
	}
}

func TestStartShowsWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	broken := fakeServer(t, "echo 'no space left'; exit 3")
	_, err := Start(t.Context(), Options{DataDir: t.TempDir(), LookPath: broken})
	if err == nil || !strings.Contains(err.Error(), "no space left") ||
		!strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("err = %v", err)
	}
	missing := func(string) (string, error) { return "/no/such/program", nil }
	if _, err := Start(t.Context(), Options{LookPath: missing}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v, want os.ErrNotExist", err)
	}
}

func TestInMemory(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := begin(t, Options{DataDir: t.TempDir(), LookPath: nothing, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if s.Kind() != KindInMemory || s.Durable() {
		t.Errorf("kind %s, durable %v", s.Kind(), s.Durable())
	}
	if strings.Count(log.String(), "level=WARN") != 1 || !strings.Contains(log.String(), "redis.url") {
		t.Errorf("log = %q, want one warning with the remedy", log.String())
	}
	add(t, s)
	expires(t, s)
	end(t, s)
	<-s.Done()
	if err := errors.Join(s.Err(), <-s.Wait()); err != nil {
		t.Errorf("Err after Close = %v", err)
	}
}

func TestInMemoryRefusesToHideEvents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begin(t, Options{DataDir: dir})
	add(t, s)
	end(t, s)
	_, err := Start(t.Context(), Options{DataDir: dir, LookPath: nothing})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("start without a server over events: %v, want a refusal", err)
	}
}

// TestLoading: with an append-only file that loads slowly, Start returns only after all entries are loaded.
func TestLoading(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := begin(t, Options{DataDir: dir})
	const entries = 5000
	fill := `for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', 'k', 'v') end return 1`
	if err := client(t, s).Eval(t.Context(), fill, []string{"s"}, entries).Err(); err != nil {
		t.Fatal(err)
	}
	end(t, s)
	var log bytes.Buffer
	slow := fakeServer(t, `exec `+s.Kind()+` "$@" --key-load-delay 200`) // microseconds
	s = begin(t, Options{DataDir: dir, LookPath: slow, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if n := length(t, s); n != entries {
		t.Errorf("entries = %d, want %d", n, entries)
	}
	if !strings.Contains(log.String(), "is loading its data") {
		t.Errorf("log = %q, want the loading to be mentioned", log.String())
	}
}

// begin starts a server that ends with the test.
func begin(t *testing.T, o Options) *Server {
	t.Helper()
	if _, err := exec.LookPath(KindRedis); err != nil && o.LookPath == nil {
		if _, err := exec.LookPath(KindValkey); err != nil {
			t.Fatal("neither redis-server nor valkey-server is on the PATH: install one with `make test-deps`")
		}
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func end(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func client(t *testing.T, s *Server) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func add(t *testing.T, s *Server) {
	t.Helper()
	if err := client(t, s).XAdd(t.Context(), &redis.XAddArgs{Stream: "s",
		Values: []string{"k", "v"}}).Err(); err != nil {
		t.Fatal(err)
	}
}

func length(t *testing.T, s *Server) int64 {
	t.Helper()
	n, err := client(t, s).XLen(t.Context(), "s").Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// expires waits until a key with a short time to live has expired.
func expires(t *testing.T, s *Server) {
	t.Helper()
	c := client(t, s)
	if err := c.Set(t.Context(), "short", "v", 50*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	limit := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for c.Exists(t.Context(), "short").Val() == 1 {
		select {
		case <-limit:
			t.Fatal("the key does not expire")
		case <-tick.C:
		}
	}
}

func pid(t *testing.T, s *Server) int {
	t.Helper()
	info, err := client(t, s).Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "process_id:")
	id, _, _ := strings.Cut(rest, "\r\n")
	n, err := strconv.Atoi(id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func nothing(string) (string, error) { return "", exec.ErrNotFound }

// fakeServer returns a LookPath that finds a shell script in place of redis-server.
func fakeServer(t *testing.T, script string) func(string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "redis-server")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return func(string) (string, error) { return path, nil }
}
