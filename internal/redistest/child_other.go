//go:build !linux

package redistest

import "syscall"

// sysProcAttr is empty: only Linux ties the life of a child to its parent. Here the cleanup of the test does.
func sysProcAttr() *syscall.SysProcAttr { return nil }
