package redistest

import "syscall"

// sysProcAttr makes the kernel kill the server when the test process ends, including by SIGKILL or a panic.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
