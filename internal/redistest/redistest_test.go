package redistest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { Main(m) }

func TestServerKeepsAOFOverKill(t *testing.T) {
	t.Parallel()
	s := Start(t, WithAOF("always"))
	set(t, s, "k", "v")
	addr := s.Addr()
	s.Kill()
	if err := ping(t, s); err == nil {
		t.Fatal("a killed server answers")
	}
	s.Restart()
	if s.Addr() != addr {
		t.Errorf("address after restart = %s, want %s", s.Addr(), addr)
	}
	if got, err := s.Client().Get(t.Context(), "k").Result(); err != nil || got != "v" {
		t.Errorf("GET after restart = %q, %v; want v", got, err)
	}
}

func TestServerKeepsNothingWithoutAOF(t *testing.T) {
	t.Parallel()
	s := Start(t)
	set(t, s, "k", "v")
	s.Restart()
	if err := s.Client().Get(t.Context(), "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("GET after restart: %v, want redis.Nil", err)
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Pause()
	if err := ping(t, s); err == nil {
		t.Error("a paused server answers")
	}
	s.Resume()
	if err := ping(t, s); err != nil {
		t.Errorf("after resume: %v", err)
	}
	s.Pause()
	s.Stop() // must also end a paused server
	s.Kill() // a second call does nothing
	s.Restart()
	s.Pause() // the cleanup must handle it
}

func TestWithArgs(t *testing.T) {
	t.Parallel()
	s := Start(t, WithArgs("--maxmemory", "4mb"))
	got, err := s.Client().ConfigGet(t.Context(), "maxmemory").Result()
	if err != nil || got["maxmemory"] != "4194304" {
		t.Errorf("maxmemory = %v, %v", got, err)
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	first := Start(t)
	second := &Server{binary: first.binary, dir: t.TempDir(), port: first.port}
	if err := second.launch(); !errors.Is(err, errPortTaken) {
		t.Errorf("launch on a taken port: %v, want errPortTaken", err)
	}
	if _, err := start(t.TempDir(), newSettings([]Option{WithArgs("--no-such-option", "1")})); err == nil ||
		errors.Is(err, errPortTaken) {
		t.Errorf("start with a wrong option: %v, want what the server said", err)
	}
}

func TestSharedAndStream(t *testing.T) {
	t.Parallel()
	if first, second := Shared(t), Shared(t); first != second {
		t.Error("two shared servers")
	}
	t.Run("ä b/c", func(t *testing.T) {
		t.Parallel()
		a, b := Stream(t), Stream(t)
		if a == b || strings.ContainsAny(a, "/ ä") {
			t.Errorf("streams %q and %q", a, b)
		}
		id, err := Shared(t).Client().XAdd(t.Context(), &redis.XAddArgs{Stream: a, Values: []string{"k", "v"}}).Result()
		if err != nil || id == "" {
			t.Errorf("XADD = %q, %v", id, err)
		}
	})
	t.Run("refuses to be stopped", func(t *testing.T) {
		t.Parallel()
		defer func() {
			if recover() == nil {
				t.Error("Kill of the shared server did not panic")
			}
		}()
		Shared(t).Kill()
	})
}

func TestNoServerInstalled(t *testing.T) {
	t.Parallel()
	_, err := lookBinary(func(string) (string, error) { return "", exec.ErrNotFound })
	if !errors.Is(err, errNoServer) || !strings.Contains(err.Error(), "make test-deps") {
		t.Errorf("err = %v, want the remedy", err)
	}
	path, err := lookBinary(func(name string) (string, error) {
		if name == "valkey-server" {
			return "/opt/valkey-server", nil
		}
		return "", exec.ErrNotFound
	})
	if err != nil || path != "/opt/valkey-server" {
		t.Errorf("path = %q, %v; want valkey-server as fallback", path, err)
	}
	if _, err := start(t.TempDir(), newSettings([]Option{WithBinary("/no/such/server")})); !errors.Is(err,
		os.ErrNotExist) {
		t.Errorf("err = %v, want os.ErrNotExist", err)
	}
}

func set(t *testing.T, s *Server, key, value string) {
	t.Helper()
	if err := s.Client().Set(t.Context(), key, value, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func ping(t *testing.T, s *Server) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return s.Client().Ping(ctx).Err()
}
