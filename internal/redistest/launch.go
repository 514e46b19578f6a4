package redistest

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// longestSocket is the limit of macOS and the BSDs for the path of a Unix socket; Linux allows four bytes more.
const longestSocket = 103

// role is the role of a server in a group.
type role struct {
	// config returns the content of a configuration file, which the server may rewrite: so it keeps its role over a
	// restart. Nil means that all settings are on the command line.
	config func(s *Server) string
	// sentinel starts the program as a sentinel, whose settings are all in its file.
	sentinel bool
	// cluster makes the server a node of a cluster.
	cluster bool
}

func newSettings(opts []Option) settings {
	set := settings{replicas: -1}
	for _, o := range opts {
		o(&set)
	}
	return set
}

func start(dir string, set settings) (*Server, error) {
	if set.binary == "" {
		path, err := standardBinary()
		if err != nil {
			return nil, err
		}
		set.binary = path
	}
	s := &Server{binary: set.binary, args: set.args, dir: dir, role: set.role}
	if set.tls {
		var err error
		if s.tls, err = newTLSListener(dir); err != nil {
			return nil, err
		}
	}
	if set.socket {
		var err error
		if s.socket, err = newSocket(); err != nil {
			return nil, err
		}
	}
	if err := s.launchOnFreePort(); err != nil {
		return nil, errors.Join(err, s.removeSocket())
	}
	s.client = s.newClient()
	return s, nil
}

// standardServer is the environment variable that names a server program to use instead of the one on the PATH.
const standardServer = "STREAMGATE_REDIS_SERVER"

func standardBinary() (string, error) {
	if path := os.Getenv(standardServer); path != "" {
		return exec.LookPath(path)
	}
	return lookBinary(exec.LookPath)
}

func lookBinary(look func(string) (string, error)) (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := look(name); err == nil {
			return path, nil
		}
	}
	return "", errNoServer
}

// newSocket returns a path in a new directory, because the path of a test's own directory is too long for a socket.
func newSocket() (string, error) {
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		dir, err := os.MkdirTemp(parent, "rt")
		if err != nil {
			return "", fmt.Errorf("create directory of the socket: %w", err)
		}
		if path := filepath.Join(dir, "s"); len(path) <= longestSocket {
			return path, nil
		}
		if err := os.Remove(dir); err != nil {
			return "", fmt.Errorf("remove directory of the socket: %w", err)
		}
	}
	return "", fmt.Errorf("the path of a socket in /tmp is longer than %d bytes", longestSocket)
}

func (s *Server) removeSocket() error {
	if s.socket == "" {
		return nil
	}
	return os.RemoveAll(filepath.Dir(s.socket))
}

func (s *Server) newClient() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, ContextTimeoutEnabled: true})
}

func (s *Server) launchOnFreePort() error {
	for range portAttempts {
		if err := s.choosePorts(); err != nil {
			return err
		}
		if s.role.config != nil {
			if err := os.WriteFile(s.configPath(), []byte(s.role.config(s)), 0o600); err != nil {
				return fmt.Errorf("write configuration of the server: %w", err)
			}
		}
		if err := s.launch(); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return fmt.Errorf("start %s: no free port in %d attempts", s.binary, portAttempts)
}

// choosePorts sets the ports that s needs, all different.
func (s *Server) choosePorts() error {
	need := []*int{&s.port}
	if s.tls != nil {
		need = append(need, &s.tls.port)
	}
	if s.role.cluster {
		need = append(need, &s.busPort)
	}
	taken := make(map[int]bool)
	for _, port := range need {
		for {
			free, err := freePort()
			if err != nil {
				return err
			}
			if !taken[free] {
				*port, taken[free] = free, true
				break
			}
		}
	}
	return nil
}

// freePort returns a free port below the range of outgoing connections (32768 and up). In that range, a client that
// keeps dialling a killed server would at some point be given the server's port as its own, connect to itself, and keep
// the server from restarting.
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

// launch starts the process on s.port and waits until it answers. On an error no process is left.
func (s *Server) launch() error {
	log, err := os.Create(s.logPath())
	if err != nil {
		return fmt.Errorf("create server log: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	cmd := exec.Command(s.binary, s.commandLine()...)
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

func (s *Server) commandLine() []string {
	if s.role.sentinel {
		return []string{s.configPath(), "--sentinel"}
	}
	var args []string
	if s.role.config != nil {
		args = append(args, s.configPath())
	}
	args = append(args,
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--daemonize", "no",
		"--save", "", "--appendonly", "no",
	)
	if s.tls != nil {
		args = append(args, s.tls.args()...)
	}
	if s.role.cluster {
		args = append(args, clusterArgs(s.busPort)...)
	}
	if s.socket != "" {
		args = append(args, "--unixsocket", s.socket)
	}
	return append(args, s.args...)
}

// awaitReady blocks until c answers on s.port. The answer must contain the pid of c, because the server of another test
// process may have taken the port first.
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

// ask returns the process id of the server of client when it accepts commands. It dials a plain connection first,
// because go-redis would log a refused connection and wait long before the next attempt.
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
	pid := infoField(info, "process_id")
	if pid == "" {
		return 0, errors.New("INFO server has no process_id")
	}
	return strconv.Atoi(pid)
}

// infoField returns the value of name in an answer of INFO or CLUSTER INFO, or "".
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (s *Server) explainExit() error {
	text := s.log()
	for _, sign := range []string{"Address already in use", "Failed listening on port", "Could not create server TCP"} {
		if strings.Contains(text, sign) {
			return errPortTaken
		}
	}
	return fmt.Errorf("%s exited at start:\n%s", s.binary, text)
}

func (s *Server) logPath() string { return filepath.Join(s.dir, "redistest.log") }

func (s *Server) configPath() string { return filepath.Join(s.dir, "redistest.conf") }

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

// close ends the process and releases everything of s. SIGKILL ends a paused process as well.
func (s *Server) close() error {
	return errors.Join(s.client.Close(), s.kill(), s.removeSocket())
}
