package embeddedredis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	probeInterval = 10 * time.Millisecond
	probeTimeout  = time.Second
	// silenceLimit is how long a starting server may be silent. A server that loads its data answers LOADING.
	silenceLimit = 30 * time.Second
	// stopTimeout is how long a server may take to flush its append-only file before it is killed.
	stopTimeout  = 15 * time.Second
	portAttempts = 5
	logTail      = 2048 // bytes of the log that an error contains
)

// errAddressTaken means that another process has taken the chosen port.
var errAddressTaken = errors.New("address is taken by another process")

// program is an installed server.
type program struct{ kind, path string }

// startProcess runs p in d. It retries with another TCP port if another process takes the chosen one first.
func startProcess(ctx context.Context, log *slog.Logger, d *dataDir, p program) (*Server, error) {
	var last error
	for range portAttempts {
		ep, err := d.endpoint()
		if err != nil {
			return nil, err
		}
		s, err := launch(ctx, log, d, p, ep)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errAddressTaken) {
			return nil, err
		}
		last = err
	}
	return nil, last
}

// launch starts the server and waits until it is ready. On an error no process is left.
func launch(ctx context.Context, log *slog.Logger, d *dataDir, p program, ep endpoint) (*Server, error) {
	s := &Server{
		kind: p.kind, url: ep.url(), durable: !d.temporary,
		done: make(chan struct{}), failed: make(chan error, 1), release: d.close,
	}
	process, err := s.spawn(d, p, ep)
	if err != nil {
		return nil, err
	}
	s.end = func() error { return s.stop(process, syscall.SIGTERM) }
	if err := s.awaitReady(ctx, log, d, ep); err != nil {
		s.closing.Store(true)
		return nil, errors.Join(err, s.stop(process, syscall.SIGKILL))
	}
	return s, nil
}

// spawn starts the child. The goroutine that starts it also waits for its end and stays locked to its thread: Linux
// sends the parent death signal when the forking thread exits, not when the process does, and the Go runtime may end a
// thread at any time. The configuration is passed on stdin, because any user can read command lines, and it may hold
// the password.
func (s *Server) spawn(d *dataDir, p program, ep endpoint) (*os.Process, error) {
	out, err := os.OpenFile(d.logPath(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	defer func() { _ = out.Close() }() // the child has its own descriptor
	cmd := exec.Command(p.path, "-")
	cmd.Stdin = strings.NewReader(configuration(d.path, ep))
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = sysProcAttr()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.waited(cmd.Wait(), d)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("run %s: %w", p.path, err)
	}
	return cmd.Process, nil
}

// waited records the end of the child.
func (s *Server) waited(err error, d *dataDir) {
	if s.closing.Load() {
		s.gone(nil)
		return
	}
	if err == nil {
		err = errors.New("it was shut down by another process")
	}
	s.gone(fmt.Errorf("embedded %s ended: %w\nend of %s:\n%s", s.kind, err, d.logPath(), d.log()))
}

// stop sends sig and waits for the end of the child, which it kills after stopTimeout.
func (s *Server) stop(process *os.Process, sig syscall.Signal) error {
	if err := process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop embedded %s: %w", s.kind, err)
	}
	limit := time.NewTimer(stopTimeout)
	defer limit.Stop()
	select {
	case <-s.done:
		return nil
	case <-limit.C:
	}
	if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill embedded %s: %w", s.kind, err)
	}
	<-s.done
	return fmt.Errorf("embedded %s did not stop within %v and was killed", s.kind, stopTimeout)
}

// awaitReady waits until the server answers PING. A server that answers LOADING may take as long as it needs, because a
// large append-only file takes minutes.
func (s *Server) awaitReady(ctx context.Context, log *slog.Logger, d *dataDir, ep endpoint) error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	alive, loading := time.Now(), false
	for {
		reply, err := probe(ctx, ep)
		switch {
		case err == nil && reply == "+PONG":
			return nil
		case strings.HasPrefix(reply, "-LOADING"):
			if !loading {
				log.Info("embedded redis is loading its data", "kind", s.kind, "data_dir", d.path)
			}
			alive, loading = time.Now(), true
		case strings.HasPrefix(reply, "-"): // it refuses the password, so it is the server of another process
			return fmt.Errorf("%w: it answered %q", errAddressTaken, reply)
		case time.Since(alive) > silenceLimit:
			return fmt.Errorf("no answer for %v (last error: %w)\nend of %s:\n%s", silenceLimit, err, d.logPath(),
				d.log())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for answer: %w", context.Cause(ctx))
		case <-s.done:
			return s.exitedEarly(d)
		case <-tick.C:
		}
	}
}

// exitedEarly returns why the child ended before it was ready.
func (s *Server) exitedEarly(d *dataDir) error {
	if strings.Contains(d.log(), "Address already in use") {
		return errAddressTaken
	}
	return s.err
}

// probe sends PING and returns the first line of the answer. It does not use go-redis, which logs refused connections:
// they are expected while the server starts.
func probe(ctx context.Context, ep endpoint) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, ep.network, ep.address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	in := bufio.NewReader(conn)
	if ep.password != "" {
		if reply, err := ask(conn, in, "AUTH "+ep.password); err != nil || reply != "+OK" {
			return reply, err
		}
	}
	return ask(conn, in, "PING")
}

// ask sends an inline command and returns the first line of the answer.
func ask(out io.Writer, in *bufio.Reader, command string) (string, error) {
	if _, err := io.WriteString(out, command+"\r\n"); err != nil {
		return "", err
	}
	line, err := in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}
