//go:build !linux

package servertest

import "syscall"

// procAttr knows no death signal outside of Linux.
func procAttr(_ syscall.Signal, cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: cred}
}
