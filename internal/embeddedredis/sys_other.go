//go:build !unix

package embeddedredis

import (
	"errors"
	"syscall"
)

// errLocked means that another open file holds the lock.
var errLocked = errors.New("locked")

// sysProcAttr is nil: only unix has process groups, and only Linux parent death signals.
func sysProcAttr() *syscall.SysProcAttr { return nil }

// lockFile does nothing: without flock, only a server that answers on the socket reveals another gateway.
func lockFile(string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}
