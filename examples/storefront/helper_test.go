package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop is a running fleet.
type shop struct {
	*fleet
	t      *testing.T
	client *http.Client
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// startShop starts a fleet on free ports, which ends with the test.
func startShop(t *testing.T, cfg config) *shop {
	t.Helper()
	cfg.host, cfg.port = "127.0.0.1", 0
	cfg.redisLimit = patience // on a busy machine a pod would otherwise go on without Redis, and load more than once
	if cfg.log == nil {
		cfg.log = quiet()
	}
	f, err := startFleet(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{fleet: f, t: t, client: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience,
	}}
	t.Cleanup(s.end)
	if err := f.awaitFeeds(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// end closes the fleet. Twice is fine.
func (s *shop) end() {
	s.t.Helper()
	if s.fleet == nil {
		return
	}
	began := time.Now()
	if err := s.close(); err != nil {
		s.t.Errorf("close: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		s.t.Errorf("close took %s", took)
	}
	s.fleet = nil
}

// do sends a request and returns the answer's body and X-Cache.
func (s *shop) do(p *pod, method, path, body string, want int) (text, cache string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != want {
		s.t.Fatalf("%s %s on %s: got %s %s; want %d", method, path, p.name, resp.Status, read, want)
	}
	if got := resp.Header.Get("X-Pod"); got != p.name {
		s.t.Errorf("%s %s: X-Pod is %q; want %q", method, path, got, p.name)
	}
	return strings.TrimSpace(string(read)), resp.Header.Get("X-Cache")
}

func (s *shop) get(p *pod, path string) (body, cache string) {
	s.t.Helper()
	return s.do(p, http.MethodGet, path, "", http.StatusOK)
}

// await polls every pod until its answer holds want.
func (s *shop) await(path, want string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for _, p := range s.pods {
		for {
			body, _ := s.get(p, path)
			if strings.Contains(body, want) {
				break
			}
			if ctx.Err() != nil {
				s.t.Fatalf("%s%s still lacks %s: %s", p.name, path, want, body)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// misses are the loads of price lists, of all pods together.
func (s *shop) misses() (n int) {
	const bucket = "catalog"
	s.t.Helper()
	for _, p := range s.pods {
		body, _ := s.get(p, "/health/catalog/cache")
		var health struct {
			Metrics map[string]json.RawMessage `json:"metrics"`
		}
		var counts struct {
			Misses *int `json:"misses"`
		}
		err := json.Unmarshal([]byte(body), &health)
		if err == nil {
			err = json.Unmarshal(health.Metrics[bucket], &counts)
		}
		if err == nil && counts.Misses == nil {
			err = fmt.Errorf("no misses of %s", bucket)
		}
		if err != nil {
			s.t.Fatalf("%v in %s", err, body)
		}
		n += *counts.Misses
	}
	return n
}
