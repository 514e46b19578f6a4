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
// Where no server is installed the tests fail, they are never skipped: a test that did not run proves nothing.
package redistest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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
	binary string
	args   []string
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

// WithBinary runs the server at path instead of the one on the PATH.
func WithBinary(path string) Option {
	return func(s *settings) { s.binary = path }
}

// Server is one running server process. Its methods are safe for concurrent use, also from goroutines other than the
// test's own: what goes wrong in them marks the test as failed and does not stop it. Only [Start] and [Shared] make one.
type Server struct {
	tb     testing.TB // nil for the shared server, which belongs to no single test
	binary string
	args   []string
	dir    string
	port   int
	client *redis.Client

	mu    sync.Mutex
	child *child
}

// Start runs a private server on a free port of 127.0.0.1, with its files in a directory of the test, and returns when
// it answers. It keeps nothing on disk unless [WithAOF] says so. The server and its client are gone when t has ended.
// Start must be called from the goroutine of t, which it fails when the server does not start.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := start(t.TempDir(), opts...)
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
	s.report("pause server", s.running().signal(syscall.SIGSTOP))
}

// Resume lets a paused server go on (SIGCONT).
func (s *Server) Resume() {
	s.private().Helper()
	s.report("resume server", s.running().signal(syscall.SIGCONT))
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

func start(dir string, opts ...Option) (*Server, error) {
	var set settings
	for _, o := range opts {
		o(&set)
	}
	if set.binary == "" {
		path, err := lookBinary(exec.LookPath)
		if err != nil {
			return nil, err
		}
		set.binary = path
	}
	s := &Server{binary: set.binary, args: set.args, dir: dir}
	if err := s.launchOnFreePort(); err != nil {
		return nil, err
	}
	s.client = s.newClient()
	return s, nil
}

func lookBinary(look func(string) (string, error)) (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := look(name); err == nil {
			return path, nil
		}
	}
	return "", errNoServer
}

func (s *Server) newClient() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, ContextTimeoutEnabled: true})
}

func (s *Server) launchOnFreePort() error {
	for range portAttempts {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.port = port
		if err := s.launch(); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return fmt.Errorf("start %s: no free port in %d attempts", s.binary, portAttempts)
}

// freePort chooses below the range from which systems take the ports of outgoing connections (32768 and up). In that
// range a client that keeps dialling a killed server would sooner or later be given the server's own port, connect to
// itself, and keep the server from coming back.
func freePort() (int, error) {
	const lowest, count = 20000, 12000
	var last error
	for range portAttempts {
		port := lowest + mathrand.IntN(count)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("find free port: %w", last)
}

// launch starts the process on s.port and waits until it answers. An error leaves no process behind.
func (s *Server) launch() error {
	log, err := os.Create(s.logPath())
	if err != nil {
		return fmt.Errorf("create server log: %w", err)
	}
	defer func() { _ = log.Close() }() // the process has its own descriptor
	args := append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--daemonize", "no",
		"--save", "", "--appendonly", "no",
	}, s.args...)
	cmd := exec.Command(s.binary, args...)
	cmd.Stdout, cmd.Stderr = log, log
	c, err := spawn(cmd)
	if err != nil {
		return err
	}
	if err := s.awaitReady(c); err != nil {
		return errors.Join(err, c.kill())
	}
	s.mu.Lock()
	s.child = c
	s.mu.Unlock()
	return nil
}

// awaitReady returns when c answers on s.port. That somebody answers is not enough: it could be the server of another
// test process that took the port first, so the answer must carry the pid of c.
func (s *Server) awaitReady(c *child) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	client := s.newClient()
	defer func() { _ = client.Close() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		pid, err := s.ask(ctx, client)
		if err == nil && pid != c.pid() {
			return errPortTaken
		}
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return s.explainExit()
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer after %v: %w\n%s", s.binary, readyTimeout, err, s.log())
		case <-tick.C:
		}
	}
}

// ask returns the process id of the server that client talks to, once that server is ready for commands. It knocks
// first, because go-redis would log each refused connection and wait long before it tries again.
func (s *Server) ask(ctx context.Context, client *redis.Client) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return 0, err
	}
	if err := conn.Close(); err != nil {
		return 0, err
	}
	if err := client.Ping(ctx).Err(); err != nil {
		return 0, err
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "process_id:"); ok {
			return strconv.Atoi(strings.TrimSpace(v))
		}
	}
	return 0, errors.New("INFO server has no process_id")
}

func (s *Server) explainExit() error {
	text := s.log()
	if strings.Contains(text, "Address already in use") || strings.Contains(text, "Failed listening on port") {
		return errPortTaken
	}
	return fmt.Errorf("%s exited at start:\n%s", s.binary, text)
}

func (s *Server) logPath() string { return filepath.Join(s.dir, "redistest.log") }

func (s *Server) log() string {
	text, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

func (s *Server) running() *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child
}

func (s *Server) kill() error { return s.running().kill() }

func (s *Server) terminate() error { return s.running().terminate() }

// close frees everything of s; SIGKILL also ends a paused process.
func (s *Server) close() error {
	return errors.Join(s.client.Close(), s.kill())
}
