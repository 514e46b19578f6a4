package redistest

import "syscall"

// sysProcAttr lets the kernel kill the server when the test process ends, also by SIGKILL or a panic.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
