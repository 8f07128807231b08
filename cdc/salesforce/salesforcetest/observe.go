package salesforcetest

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// maxHistory bounds the subscriptions that are remembered.
const maxHistory = 1000

// Subscription is what a stream did.
type Subscription struct {
	Topic       string
	Preset      string // where it began: LATEST, EARLIEST or CUSTOM
	ReplayID    []byte // behind which it began, of CUSTOM
	Requests    int    // how often it asked for events
	Requested   int    // how many it asked for
	Outstanding int    // how many of them it may still get
	Delivered   int    // events
	Responses   int
	Keepalives  int           // responses without events
	Dry         time.Duration // the longest time for which nothing was outstanding, once that is over
	Open        bool
	Code        string // with which error it ended, without its prefix; empty too if the client or the network ended it
}

// endDry notes how long nothing was outstanding.
func (seen *Subscription) endDry(since, now time.Time) {
	if seen.Outstanding == 0 {
		seen.Dry = max(seen.Dry, now.Sub(since))
	}
}

// Subscriptions returns the streams of a topic that are open, oldest first.
func (s *Server) Subscriptions(topicName string) []Subscription {
	return slices.DeleteFunc(s.History(topicName), func(sub Subscription) bool { return !sub.Open })
}

// History returns the streams of a topic, open or ended, oldest first. The server remembers the last 1000 of all topics, and those that
// are open.
func (s *Server) History(topicName string) []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Subscription
	for _, sub := range s.history {
		if sub.topic.name == topicName {
			list = append(list, sub.seen)
		}
	}
	return list
}

// rememberLocked adds to the history, and forgets the oldest that has ended if it is full.
func (s *Server) rememberLocked(sub *subscription) {
	if len(s.history) >= maxHistory {
		if i := slices.IndexFunc(s.history, func(old *subscription) bool { return !old.seen.Open }); i >= 0 {
			s.history = slices.Delete(s.history, i, i+1)
		}
	}
	s.history = append(s.history, sub)
}

// Await waits until n streams are open on a topic: what is published then, a subscription from the latest event gets.
func (s *Server) Await(ctx context.Context, topicName string, n int) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		open := len(s.Subscriptions(topicName))
		if open == n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("salesforcetest: %d streams are open on %s; want %d: %w", open, topicName, n, ctx.Err())
		case <-tick.C:
		}
	}
}

// Logins is how many logins were granted.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Calls is how often a method was called: "GetTopic", "GetSchema", "Subscribe".
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Starved is how many streams were closed since they had asked for nothing for too long.
func (s *Server) Starved() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starved
}

// Kept is how many events a topic keeps.
func (s *Server) Kept(topicName string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topicName]
	if t == nil {
		return 0
	}
	t.expire(time.Now().Add(-s.opts.Retention))
	return len(t.events)
}
