package servertest

import "syscall"

// procAttr makes the kernel send death to the child when the thread that
// started it ends, and so at the latest when this process does.
func procAttr(death syscall.Signal, cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: death, Credential: cred}
}
