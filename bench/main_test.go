package main

import (
	"os"
	"testing"
)

// TestMain lets the test binary be the program's pods.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == podCommand {
		exit(servePod(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}
