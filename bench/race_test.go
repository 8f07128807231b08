//go:build race

package main

// raceDetector slows everything down, and allows a process 8,128 goroutines at once.
const raceDetector = true
