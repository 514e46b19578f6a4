//go:build !unix

package embeddedredis

import (
	"errors"
	"syscall"
)

// errLocked says that another open file holds the lock.
var errLocked = errors.New("locked")

// sysProcAttr is empty: process groups and parent death signals are ideas of unix.
func sysProcAttr() *syscall.SysProcAttr { return nil }

// lockFile does nothing: without unix locks, that a server answers on the socket is the sign of another gateway.
func lockFile(string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}
