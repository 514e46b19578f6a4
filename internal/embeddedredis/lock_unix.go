//go:build unix

package embeddedredis

import (
	"errors"
	"fmt"
	"os"

	"syscall"
)

// errLocked says that another open file holds the lock.
var errLocked = errors.New("locked")

// lockFile locks the file at path and returns what unlocks it; the system also does that when the process dies.
func lockFile(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() error {
		// Closing alone is not enough: a child that another goroutine has just forked holds the file open until it execs.
		return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
	}, nil
}
