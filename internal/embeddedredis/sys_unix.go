//go:build unix && !linux

package embeddedredis

import "syscall"

// sysProcAttr gives the child its own process group, so that Ctrl-C does not reach it.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
