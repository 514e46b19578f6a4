//go:build unix && !linux

package embeddedredis

import "syscall"

// sysProcAttr gives the child a process group of its own, so that Ctrl-C does not reach it.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
