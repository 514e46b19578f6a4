package embeddedredis

import "syscall"

// sysProcAttr gives the child a process group of its own, so that Ctrl-C does not reach it, and lets the kernel end it in
// its orderly way when the gateway dies.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
