// Package redistest runs real redis-server (or valkey-server) processes for tests.
//
// [Start] gives a test a private server that it may kill, pause and restart; [Shared] gives all tests of a process one
// server between them, which is cheaper and enough wherever a test only needs its own stream ([Stream]). A package that
// uses [Shared] has
//
//	func TestMain(m *testing.M) { redistest.Main(m) }
//
// A server never outlives the test process: Linux kills it when the process ends in whatever way; elsewhere the cleanup
// does, so that only a killed test process leaves it behind.
//
// STREAMGATE_REDIS_SERVER names another server program than the one on the PATH; `make test-servers` uses it.
//
// Where no server is installed the tests fail, they are never skipped: a test that did not run proves nothing.
package redistest

import (
	"crypto/rand"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	readyTimeout = 10 * time.Second
	exitTimeout  = 10 * time.Second
	portAttempts = 20
	logTail      = 4096 // bytes of the server's log that a failure shows
)

// errNoServer is the whole message, because it is all that somebody with a fresh checkout sees.
var errNoServer = errors.New("neither redis-server nor valkey-server is on the PATH: install one with `make test-deps`")

// errPortTaken says that another process has the port, so that a free one must be chosen again.
var errPortTaken = errors.New("port is taken by another process")

// Option changes how [Start] starts a server.
type Option func(*settings)

type settings struct {
	binary   string
	args     []string
	tls      bool
	socket   bool
	replicas int // -1 means the default of who takes it
	role     role
}

// WithAOF turns the append-only file on, with fsync as appendfsync: "always", "everysec" or "no". With it the data
// outlives [Server.Kill] and [Server.Restart]; without it they begin empty.
func WithAOF(fsync string) Option {
	return WithArgs("--appendonly", "yes", "--appendfsync", fsync)
}

// WithArgs appends arguments to the server's command line, for example "--maxmemory", "4mb". A later one wins.
func WithArgs(args ...string) Option {
	return func(s *settings) { s.args = append(s.args, args...) }
}

// WithBinary runs the server at path instead of the one on the PATH. The empty path means the one on the PATH.
func WithBinary(path string) Option {
	return func(s *settings) { s.binary = path }
}

// WithReplicas gives the master of [StartSentinel], or each master of [StartCluster], n replicas instead of their
// default. [Start] refuses it.
func WithReplicas(n int) Option {
	return func(s *settings) { s.replicas = n }
}

// WithUnixSocket makes the server listen on a Unix socket too, at [Server.Socket].
func WithUnixSocket() Option {
	return func(s *settings) { s.socket = true }
}

// Server is one running server process. Its methods are safe for concurrent use, also from goroutines other than the
// test's own: what goes wrong in them marks the test as failed and does not stop it. Only [Start] and [Shared] make one.
type Server struct {
	tb      testing.TB // nil for the shared server, which belongs to no single test
	binary  string
	args    []string
	dir     string
	port    int
	role    role
	tls     *tlsListener // nil without WithTLS
	busPort int          // of a cluster node, else 0
	socket  string       // "" without WithUnixSocket
	client  *redis.Client

	mu    sync.Mutex
	child *child
}

// Start runs a private server on a free port of 127.0.0.1, with its files in a directory of the test, and returns when
// it answers. It keeps nothing on disk unless [WithAOF] says so. The server and its client are gone when t has ended.
// Start must be called from the goroutine of t, which it fails when the server does not start.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	set := newSettings(opts)
	if set.replicas >= 0 {
		t.Fatal("redistest: WithReplicas is for StartSentinel and StartCluster")
	}
	return startFor(t, t.TempDir(), set)
}

// startFor is [Start] for settings that are there already.
func startFor(t testing.TB, dir string, set settings) *Server {
	t.Helper()
	s, err := start(dir, set)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	s.tb = t
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Errorf("redistest: %v", err)
		}
	})
	return s
}

// Addr returns the host and port of s, which stay the same over a restart.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns the address of s as a redis:// URL.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Socket returns the path of the Unix socket of s, which is short enough for every system, or "" without
// [WithUnixSocket].
func (s *Server) Socket() string { return s.socket }

// Client returns the client of s; each call returns the same one, and it must not be closed by the caller. It never
// sends a command twice (MaxRetries -1) and obeys the deadline of a context, so that a test sees what really happened.
func (s *Server) Client() *redis.Client { return s.client }

// Kill ends the server as a crash would (SIGKILL) and returns when it is gone. On a dead server it does nothing.
func (s *Server) Kill() {
	s.private().Helper()
	s.report("kill server", s.kill())
}

// Stop ends the server in its orderly way (SIGTERM) and returns when it is gone. A paused server is resumed first. On a
// dead server it does nothing.
func (s *Server) Stop() {
	s.private().Helper()
	s.report("stop server", s.terminate())
}

// Restart ends the server with [Server.Stop], if it lives, and starts it again on the same port and directory; it
// returns when the server answers, which is after it has loaded its append-only file.
func (s *Server) Restart() {
	s.private().Helper()
	if err := s.terminate(); err != nil {
		s.report("restart server", err)
		return
	}
	deadline := time.Now().Add(readyTimeout)
	err := s.launch()
	for errors.Is(err, errPortTaken) && time.Now().Before(deadline) {
		err = s.launch()
	}
	s.report("restart server", err)
}

// Pause freezes the server (SIGSTOP): its connections stay open, and nothing answers until [Server.Resume].
func (s *Server) Pause() {
	s.private().Helper()
	c := s.running()
	c.paused.Store(true)
	s.report("pause server", c.signal(syscall.SIGSTOP))
}

// Resume lets a paused server go on (SIGCONT).
func (s *Server) Resume() {
	s.private().Helper()
	c := s.running()
	s.report("resume server", c.signal(syscall.SIGCONT))
	c.paused.Store(false)
}

// Stream returns a stream name that no other test has: the name of t, cut down to letters, digits, "-" and "_", and a
// random end.
func Stream(t testing.TB) string {
	t.Helper()
	return sanitise(t.Name()) + "-" + strings.ToLower(rand.Text()[:10])
}

func sanitise(name string) string {
	const longest = 60
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '_'
	}, name)
	return clean[:min(len(clean), longest)]
}

// private returns the test of s. The shared server has none, and what would break other tests is refused there.
func (s *Server) private() testing.TB {
	if s.tb == nil {
		panic("redistest: the shared server must not be stopped or paused; take a private one with Start")
	}
	return s.tb
}

func (s *Server) report(what string, err error) {
	if err != nil {
		s.tb.Helper()
		s.tb.Errorf("redistest: %s: %v", what, err)
	}
}
