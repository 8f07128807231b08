package salesforce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

const (
	// tokenFresh is for how long a login serves further streams.
	tokenFresh = time.Minute
	// growAfter is after how long without an overflow a smaller window is doubled.
	growAfter = 10 * time.Minute
)

// Source follows one topic. Its methods may be called from any goroutine.
type Source struct {
	cfg     Config
	schemas schemas

	mu       sync.Mutex // guards the fields below
	token    Token      // of the last login; zero: none, or refused
	loggedIn time.Time
	size     int       // of a window
	sized    time.Time // when size was last changed
}

var _ cdc.Source = (*Source)(nil)

// NewSource checks cfg. It connects to nothing.
func NewSource(cfg Config) (*Source, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg, size: cfg.Window}, nil
}

// Identity implements cdc.Source: the topic. The org, which only a login tells, is in each position.
func (s *Source) Identity() string { return "salesforce " + s.cfg.Topic }

// Exclusive implements cdc.Source: the service sends the same events to everybody who asks, and counts them each time.
func (s *Source) Exclusive() bool { return false }

// Open implements cdc.Source. It logs in, unless the last login is less than a minute old, and sees that the topic may be followed.
// Without a position, and with one that is malformed, of another org, or of another topic, it starts at the end of the topic, and the first
// batch is Lost; so it is, later, if the service doesn't know the position's replay id. Until the service's first response, up to 270 s on a
// quiet topic, there is no such batch, and the stream doesn't know its lag.
func (s *Source) Open(ctx context.Context, from string) (cdc.Stream, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.prepare(ctx); err != nil {
		return nil, errors.Join(err, c.conn.Close())
	}
	replay, gap := s.startAt(from, c.token.Tenant)
	if gap != "" {
		level := slog.LevelWarn
		if from == "" { // as at a first start: none was lost
			level = slog.LevelInfo
		}
		s.cfg.Logger.Log(ctx, level, "salesforce: changes may be lost", "topic", s.cfg.Topic, "from", from, "because", gap)
	}
	return newStream(c, from, replay), nil
}

// startAt returns the replay id to start after or, if that is nil, why there is none.
func (s *Source) startAt(from, org string) (replay []byte, gap string) {
	if from == "" {
		return nil, "there is no position"
	}
	p, err := parsePosition(from)
	switch {
	case err != nil:
		return nil, "the position is malformed"
	case p.org != org:
		return nil, "the position is of another org"
	case p.topic != s.cfg.Topic:
		return nil, "the position is of another topic"
	default:
		return p.replay, ""
	}
}

// Check reports what keeps the source from being opened, and what to do about it: it logs in, and reads the topic and its schema. It
// changes nothing.
func (s *Source) Check(ctx context.Context) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	found, err := c.prepare(ctx)
	if found != nil && found.err != nil {
		err = found.err
	}
	return errors.Join(err, c.conn.Close())
}

// freshToken returns the last login's token if that was just now, and logs in otherwise.
func (s *Source) freshToken(ctx context.Context) (Token, error) {
	s.mu.Lock()
	t, at := s.token, s.loggedIn
	s.mu.Unlock()
	if t != (Token{}) && time.Since(at) < tokenFresh {
		return t, nil
	}
	return s.login(ctx)
}

// login may run several times at once, which is harmless: nobody's Auth runs under a lock.
func (s *Source) login(ctx context.Context) (Token, error) {
	t, err := s.cfg.Auth.Token(ctx)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		if _, ours := errors.AsType[*Error](err); ours {
			return Token{}, err
		}
		return Token{}, fmt.Errorf("salesforce: log in: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.loggedIn = t, time.Now()
	return t, nil
}

// refuse forgets t, so that the next stream logs in.
func (s *Source) refuse(t Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == t {
		s.token = Token{}
	}
}

// window is how many events the next subscription may ask for at a time.
func (s *Source) window() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size < s.cfg.Window && time.Since(s.sized) >= growAfter {
		s.size, s.sized = min(2*s.size, s.cfg.Window), time.Now()
	}
	return s.size
}

// shrink halves the window after an overflow.
func (s *Source) shrink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size, s.sized = max(1, s.size/2), time.Now()
}
