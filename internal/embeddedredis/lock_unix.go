//go:build unix

package embeddedredis

import (
	"errors"
	"fmt"
	"os"

	"syscall"
)

// errLocked means that another open file holds the lock.
var errLocked = errors.New("locked")

// lockFile locks the file at path without waiting, and returns the function that unlocks it. The system unlocks it as
// well when the process ends for any reason.
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
		// Closing alone is not enough: a child that another goroutine has just forked keeps the file open until it
		// calls exec.
		return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
	}, nil
}
