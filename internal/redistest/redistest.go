// Package redistest runs real redis-server (or valkey-server) processes for tests. [Start] gives a test a private
// server, which it may kill, pause and restart. [Shared] gives all tests of a process one common server, which is
// cheaper and enough for a test that only needs its own stream ([Stream]). A package that uses [Shared] has
//
//	func TestMain(m *testing.M) { redistest.Main(m) }
//
// A server does not outlive the test process: on Linux the kernel kills it when the process ends for any reason;
// elsewhere the cleanup does, so that only a killed test process leaves it running.
//
// STREAMGATE_REDIS_SERVER names a server program to use instead of the one on the PATH; `make test-servers` sets it.
//
// Without an installed server the tests fail and are not skipped, because a test that did not run proves nothing.
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
	logTail      = 4096 // bytes of the log that an error contains
)

// errNoServer is the complete message, because it may be all that a new contributor sees.
var errNoServer = errors.New("neither redis-server nor valkey-server is on the PATH: install one with `make test-deps`")

// errPortTaken means that another process has taken the port, and another one must be chosen.
var errPortTaken = errors.New("port is taken by another process")

// Option configures a server of [Start].
type Option func(*settings)

type settings struct {
	binary   string
	args     []string
	tls      bool
	socket   bool
	replicas int // -1 means the default of who takes it
	role     role
}

// WithAOF enables the append-only file, with fsync as its appendfsync: "always", "everysec" or "no". With it, data
// survives [Server.Kill] and [Server.Restart]; without it, the server restarts empty.
func WithAOF(fsync string) Option {
	return WithArgs("--appendonly", "yes", "--appendfsync", fsync)
}

// WithArgs appends arguments to the server's command line, such as "--maxmemory", "4mb". Later arguments override
// earlier ones.
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

// WithUnixSocket makes the server also listen on a Unix socket, at [Server.Socket].
func WithUnixSocket() Option {
	return func(s *settings) { s.socket = true }
}

// Server is a running server process. [Start] and [Shared] return it. Its methods are safe for concurrent use, from any
// goroutine: an error in them marks the test as failed and does not stop it.
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

// Start runs a private server on a free port of 127.0.0.1, with its files in a directory of the test, and blocks until
// it answers. It keeps nothing on disk without [WithAOF]. The server and its client end with t. Start must be called
// from the goroutine of t, which fails if the server does not start.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	set := newSettings(opts)
	if set.replicas >= 0 {
		t.Fatal("redistest: WithReplicas is for StartSentinel and StartCluster")
	}
	return startFor(t, t.TempDir(), set)
}

// startFor is [Start] with given settings.
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

// Addr returns the host and port of s, which a restart does not change.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns the address of s as a redis:// URL.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Socket returns the path of the Unix socket of s, which is short enough for every system, or "" without
// [WithUnixSocket].
func (s *Server) Socket() string { return s.socket }

// Client returns the client of s. Each call returns the same one, which the caller must not close. It does not retry
// commands (MaxRetries -1) and obeys the deadline of a context, so that a test sees what really happened.
func (s *Server) Client() *redis.Client { return s.client }

// Kill ends the server like a crash (SIGKILL) and blocks until it has ended. It does nothing to a dead server.
func (s *Server) Kill() {
	s.private().Helper()
	s.report("kill server", s.kill())
}

// Stop shuts the server down (SIGTERM) and blocks until it has ended. A paused server is resumed first. It does nothing
// to a dead server.
func (s *Server) Stop() {
	s.private().Helper()
	s.report("stop server", s.terminate())
}

// Restart stops a live server with [Server.Stop] and starts it again with the same port and directory. It blocks until
// the server answers, which is after it has loaded its append-only file.
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

// Pause freezes the server (SIGSTOP): its connections stay open, but it does not answer until [Server.Resume].
func (s *Server) Pause() {
	s.private().Helper()
	c := s.running()
	c.paused.Store(true)
	s.report("pause server", c.signal(syscall.SIGSTOP))
}

// Resume continues a paused server (SIGCONT).
func (s *Server) Resume() {
	s.private().Helper()
	c := s.running()
	s.report("resume server", c.signal(syscall.SIGCONT))
	c.paused.Store(false)
}

// Stream returns a unique stream name: the name of t, reduced to letters, digits, "-" and "_", with a random suffix.
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

// private returns the test of s. It panics for the shared server, which has none: stopping it would break other tests.
func (s *Server) private() testing.TB {
	if s.tb == nil {
		panic("redistest: the shared server must not be stopped or paused; use a private one from Start")
	}
	return s.tb
}

func (s *Server) report(what string, err error) {
	if err != nil {
		s.tb.Helper()
		s.tb.Errorf("redistest: %s: %v", what, err)
	}
}
