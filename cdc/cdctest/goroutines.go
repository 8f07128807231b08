package cdctest

import (
	"runtime"
	"strings"
)

// goroutines returns the stacks of those that run, by their number. Those that keep
// an idle HTTP connection don't count: they end by themselves.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := make(map[string]string)
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		number, _, ok := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		if ok && !strings.Contains(stack, "net/http.(*persistConn)") {
			all[number] = stack
		}
	}
	return all
}

// leavesNone waits until there is no goroutine that wasn't there before.
func (p *probe) leavesNone(before map[string]string) {
	p.Helper()
	var left string
	defer func() {
		if p.Failed() && left != "" {
			p.Logf("left behind:\n%s", left)
		}
	}()
	p.await("no goroutine is left", func() bool {
		left = ""
		for number, stack := range goroutines() {
			if before[number] == "" {
				left = stack
			}
		}
		return left == ""
	})
}
