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
	done    chan struct{} // closed when the process is gone
	paused  atomic.Bool
}

// spawn starts cmd. One goroutine starts it and then waits for its end, locked to its operating system thread all the
// time: Linux sends the parent death signal when the thread that forked exits, not when the process does, and Go ends
// threads as it likes.
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
		_ = cmd.Wait() // how it ended is what the test did to it
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.process.Pid }

// signal sends sig; that the process is gone already is an error, because the test meant a living one.
func (c *child) signal(sig syscall.Signal) error {
	if err := c.process.Signal(sig); err != nil {
		return fmt.Errorf("send %v: %w", sig, err)
	}
	return nil
}

func (c *child) kill() error { return c.end(syscall.SIGKILL) }

func (c *child) terminate() error {
	// A stopped process would keep SIGTERM waiting; SIGCONT does nothing to one that runs.
	return c.end(syscall.SIGCONT, syscall.SIGTERM)
}

// end sends the signals and waits until the process is gone; a process that is gone already is fine.
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
		return fmt.Errorf("process %d is still there %v after %v", c.pid(), exitTimeout, signals)
	}
}
