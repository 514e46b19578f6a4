package redistest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// child is a started process and the goroutine that waits for it.
type child struct {
	process *os.Process
	done    chan struct{} // closed when the process has ended
	paused  atomic.Bool
}

// spawn starts cmd. The goroutine that starts it also waits for its end and stays locked to its thread: Linux sends the
// parent death signal when the forking thread exits, not when the process does, and the Go runtime may end a thread at
// any time.
func spawn(cmd *exec.Cmd) (*child, error) {
	cmd.SysProcAttr = sysProcAttr()
	c := &child{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		c.process = cmd.Process
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // the test has ended it, so its status does not matter
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.process.Pid }

// signal sends sig. A process that has ended already is an error, because the test expects a running one.
func (c *child) signal(sig syscall.Signal) error {
	if err := c.process.Signal(sig); err != nil {
		return fmt.Errorf("send %v: %w", sig, err)
	}
	return nil
}

func (c *child) kill() error { return c.end(syscall.SIGKILL) }

func (c *child) terminate() error {
	// A paused process does not receive SIGTERM before SIGCONT, which does nothing to a running one.
	return c.end(syscall.SIGCONT, syscall.SIGTERM)
}

// end sends the signals and waits until the process has ended. It accepts a process that has ended already.
func (c *child) end(signals ...syscall.Signal) error {
	for _, sig := range signals {
		if err := c.signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	limit := time.NewTimer(exitTimeout)
	defer limit.Stop()
	select {
	case <-c.done:
		return nil
	case <-limit.C:
		return fmt.Errorf("process %d still runs %v after %v", c.pid(), exitTimeout, signals)
	}
}
