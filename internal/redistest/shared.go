package redistest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// shared is the common server of this test process.
var shared sharedServer //nolint:gochecknoglobals // it is one per process, and only TestMain spans all tests

type sharedServer struct {
	mu     sync.Mutex
	server *Server
	err    error
}

// Shared returns the server that all tests of this process share, and starts it at the first call. Tests must use their
// own streams ([Stream]) and must not flush, configure or stop the server. [Main] ends it.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared.get()
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	return s
}

// Main is the body of a TestMain: it runs the tests, ends the shared server, checks that no goroutine is left, and
// exits. It skips that check after a failure, because a failed test often leaves goroutines. The options go to goleak.
func Main(m *testing.M, opts ...goleak.Option) {
	code := m.Run()
	err := shared.close()
	if err == nil && code == 0 {
		err = goleak.Find(opts...)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "redistest: %v\n", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func (s *sharedServer) get() (*Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil && s.err == nil {
		s.server, s.err = startShared()
	}
	return s.server, s.err
}

func startShared() (*Server, error) {
	dir, err := os.MkdirTemp("", "redistest-")
	if err != nil {
		return nil, fmt.Errorf("create directory of the shared server: %w", err)
	}
	s, err := start(dir, newSettings(nil))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func (s *sharedServer) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	err := errors.Join(s.server.close(), os.RemoveAll(s.server.dir))
	s.server = nil
	return err
}
