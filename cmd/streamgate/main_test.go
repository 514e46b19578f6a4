package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// asProgram makes the test binary behave as streamgate, so that tests can start, stop and kill real processes.
const asProgram = "STREAMGATE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	redistest.Main(m)
}

// freePorts is the part of a configuration that makes both listeners take free ports.
const freePorts = "server: { address: '127.0.0.1:0' }\nadmin: { address: '127.0.0.1:0' }\n"

// process is a running streamgate.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
	lines  chan struct{} // capacity 1: there is new output
}

// startProcess runs streamgate in a new directory, without the environment variables that it understands.
func startProcess(t testing.TB, args ...string) *process {
	t.Helper()
	return startProcessWith(t, nil, args...)
}

// startProcessWith is startProcess with additional environment variables.
func startProcessWith(t testing.TB, variables []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self, args...), done: make(chan struct{}),
		lines: make(chan struct{}, 1)} //nolint:noctx // ended by cleanup
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.Getenv("TMPDIR"),
		"GORACE=halt_on_error=1"}, variables...)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	go func() {
		defer close(p.done)
		p.read(out)
		_ = p.cmd.Wait() // tests look at the exit code
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("output of %v:\n%s", args, p.text())
		}
	})
	return p
}

func (p *process) read(out io.ReadCloser) {
	defer func() { _ = out.Close() }()
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.mu.Lock()
		p.output.Write(append(scanner.Bytes(), '\n'))
		p.mu.Unlock()
		select {
		case p.lines <- struct{}{}:
		default:
		}
	}
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// await waits until the output matches and returns the first group of the pattern.
func (p *process) await(pattern string) string {
	p.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	re := regexp.MustCompile(pattern)
	for {
		if m := re.FindStringSubmatch(p.text()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-p.lines:
		case <-p.done:
			if m := re.FindStringSubmatch(p.text()); m != nil {
				return m[len(m)-1]
			}
			p.t.Fatalf("the process ended without printing %q:\n%s", pattern, p.text())
		case <-deadline.C:
			p.t.Fatalf("the process did not print %q within 30 s:\n%s", pattern, p.text())
		}
	}
}

// addresses waits for a gateway to print its URLs, for events and for operators, and returns them.
func (p *process) addresses() (events, operators string) {
	p.t.Helper()
	return p.await(`events in +POST (http://\S+)/\{stream\}`), p.await(`operators +(http://\S+)/healthz`)
}

// end sends a signal and returns the exit code.
func (p *process) end(signal os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	return p.wait()
}

func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(60 * time.Second):
		p.t.Fatalf("the process did not end within a minute:\n%s", p.text())
		return -1
	}
}

// kill ends the process with SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // the process may have ended
	<-p.done
}

// call runs a command in this process and returns what it printed and its exit code.
func call(t testing.TB, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, talk bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &talk)
	return out.String(), talk.String(), code
}

// awaitReady waits until the gateway with this operators' URL is ready, which includes the groups of its subscriptions.
func awaitReady(t testing.TB, operators string) {
	t.Helper()
	redistest.Eventually(t, "the gateway is ready", func() bool {
		return status(t, operators+"/readyz") == http.StatusOK
	})
}

// writeFile writes a configuration file and returns its path.
func writeFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "streamgate.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
