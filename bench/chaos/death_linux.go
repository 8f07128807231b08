package main

import "syscall"

// dying makes the kernel kill a child with the thread that started it. The end of a child's input would do, were it not that a
// stopped process does not notice.
func dying() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
