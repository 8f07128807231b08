//go:build !linux

package main

import "syscall"

// dying knows no death signal outside of Linux.
func dying() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
