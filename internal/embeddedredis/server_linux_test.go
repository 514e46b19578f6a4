package embeddedredis

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// dirVariable names the data directory to the process that TestGatewayIsKilled starts.
const dirVariable = "EMBEDDEDREDIS_TEST_DIR"

func TestChildHasItsOwnProcessGroup(t *testing.T) {
	t.Parallel()
	child := pid(t, begin(t, Options{}))
	if group, err := syscall.Getpgid(child); err != nil || group != child {
		t.Errorf("process group of the server = %d, %v; want its own, %d", group, err, child)
	}
}

// TestGatewayIsKilled: after kill -9 of a gateway its embedded server ends, and a new gateway takes over the data.
func TestGatewayIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestGatewayProcess$")
	cmd.Env = append(os.Environ(), dirVariable+"="+dir)
	stdin, err := cmd.StdinPipe() // keeps the process alive
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready") {
		t.Fatalf("gateway said %q, %v", line, err)
	}
	kill(t, cmd.Process.Pid)
	if err := cmd.Wait(); err == nil {
		t.Error("the killed gateway exited with 0")
	}
	if n := length(t, begin(t, Options{DataDir: dir})); n != 1 {
		t.Errorf("entries = %d, want 1", n)
	}
}

// TestGatewayProcess is the process that TestGatewayIsKilled kills; in an ordinary run it does nothing.
func TestGatewayProcess(t *testing.T) {
	t.Parallel()
	dir := os.Getenv(dirVariable)
	if dir == "" {
		return
	}
	add(t, begin(t, Options{DataDir: dir}))
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the end
}
