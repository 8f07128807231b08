package main

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// A session is a command of the docs and the first line of what it answered.
type session struct{ command, answer string }

// sessions returns the commands of a file of docs, each behind "$ " in a block of console.
func sessions(t *testing.T, file string) (all []session) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllSubmatch(text, -1) {
		lines := strings.Split(string(block[1]), "\n")
		for i, line := range lines {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				all = append(all, session{command, lines[i+1]})
			}
		}
	}
	return all
}

// TestTroubleshooting runs the commands of docs/troubleshooting.md as they are written, but for ports, and compares how their answers begin,
// up to the first figure.
func TestTroubleshooting(t *testing.T) {
	db := startDatabase(t)
	url := "redis://" + servertest.StartRedis(t).Addr
	s := startShop(t, config{pods: 3, databaseURL: db.URL, redisURL: url})
	s.do(s.pods[0], http.MethodGet, "/catalog/internet/acc_001/nope", "", http.StatusNotFound)
	for _, path := range []string{"/catalog/internet/acc_001/jp", "/orders/acc_001"} {
		for range 2 {
			s.get(s.pods[0], path)
		}
	}
	env := []string{"REDIS_URL=" + url, "DATABASE_URL=" + db.URL}
	for deadline := time.Now().Add(patience); ; { // what depends on a product is noted after its readers were answered
		out := shell(t, "cd ../.. && go run ./examples/keys -redis $REDIS_URL dependents product prd_0001", env)
		if out != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing depends on the product")
		}
	}
	ran := 0
	for _, c := range sessions(t, "../../docs/troubleshooting.md") {
		if strings.HasPrefix(c.command, "export") || strings.HasSuffix(c.command, "./examples/storefront") {
			continue // done above
		}
		ran++
		command := c.command
		for i, p := range s.pods {
			command = strings.ReplaceAll(command, fmt.Sprintf("127.0.0.1:%d", 8081+i), "127.0.0.1:"+p.port())
		}
		out := shell(t, "cd ../.. && "+command, env)
		if want := strings.TrimSpace(regexp.MustCompile(`^[^0-9…]*`).FindString(c.answer)); !strings.Contains(out, want) {
			t.Errorf("%s\nanswers %q; want it to have %q", c.command, out, want)
		}
	}
	if ran < 15 {
		t.Errorf("ran %d commands; want at least 15", ran)
	}
}
