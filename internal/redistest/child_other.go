//go:build !linux

package redistest

import "syscall"

// sysProcAttr is nil: only Linux can tie the life of a child to its parent. Elsewhere the cleanup of the test ends it.
func sysProcAttr() *syscall.SysProcAttr { return nil }
