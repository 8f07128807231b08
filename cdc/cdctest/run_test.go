package cdctest_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tandem-cache/tandem/cdc/cdctest"
)

// A source that keeps the rules passes, whether it is exclusive or not.
func TestRun(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared %t", shared), func(t *testing.T) {
			for _, name := range cdctest.CheckNames() {
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := newServer(t, "")
						s.shared = shared
						cdctest.RunCheck(t, name, s.rig())
					})
				})
			}
		})
	}
}

// A source that breaks a rule fails the check of that rule. The others that it fails
// too are not listed.
func TestFlaws(t *testing.T) {
	for flaw, check := range map[string]string{
		"has no identity":                          "identity",
		"another identity once it is open":         "identity",
		"a secret in its identity":                 "identity",
		"panics over nothing":                      "start without a position",
		"says once that changes were lost":         "start without a position",
		"loses what changes during the flush":      "start without a position",
		"skips one after a resume":                 "resume",
		"repeats one after a resume":               "resume",
		"loses at every resume":                    "resume",
		"begins at the end":                        "resume",
		"turns the order around":                   "batch limit",
		"stays busy":                               "resume",
		"acknowledges what it hands over":          "redeliver after a crash",
		"forgets what was acknowledged":            "redeliver after a crash",
		"takes a lost position":                    "position lost",
		"loses twice":                              "position lost",
		"says nothing of a loss":                   "malformed position",
		"no event of the whole entity":             "whole entity",
		"ends at a poison event":                   "whole entity",
		"has no idle progress":                     "idle progress",
		"never knows its lag":                      "lag",
		"never lags":                               "lag",
		"always lags":                              "lag",
		"one name for all transactions":            "transactions",
		"a name for some events of a transaction":  "transactions",
		"has a position inside a transaction":      "transactions",
		"hands over too many":                      "batch limit",
		"loses a batch when the context ends":      "end of the context",
		"ignores the end of the context":           "end of the context",
		"can't be closed twice":                    "close while blocked",
		"leaves a goroutine":                       "close while blocked",
		"hangs in Close when the server is silent": "close while frozen",
		"doesn't notice a cut":                     "stream cut",
		"names a secret when it is cut":            "stream cut",
		"names a secret":                           "expired credentials",
		"takes worthless credentials for a loss":   "expired credentials",
		"holds everything in memory":               "slow consumer",
		"opens twice":                              "exclusive",
		"lies about being exclusive":               "exclusive",
	} {
		t.Run(flaw, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failures := failuresOf(t, check, newServer(t, flaw).rig())
				if len(failures) == 0 {
					t.Errorf("%q passes", check)
				}
				t.Log(strings.Join(failures, "\n"))
			})
		})
	}
}

// failuresOf runs a check that may fail.
func failuresOf(t *testing.T, check string, rig cdctest.Rig) []string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.end()
		cdctest.RunCheck(r, check, rig)
	}()
	<-done
	return r.failures
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB

	mu       sync.Mutex // guards the fields below
	failures []string
	cleanups []func()
}

func (r *recorder) end() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

func (r *recorder) fail(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, text)
}

func (r *recorder) Error(args ...any)                 { r.fail(fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.fail(fmt.Sprintf(format, args...)) }
func (r *recorder) Fatal(args ...any)                 { r.fail(fmt.Sprint(args...)); runtime.Goexit() }

func (r *recorder) Fatalf(format string, args ...any) {
	r.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}
func (r *recorder) Helper() {}
