package embeddedredis

import "syscall"

// sysProcAttr gives the child its own process group, so that Ctrl-C does not reach it, and makes the kernel send it
// SIGTERM when the gateway ends.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
