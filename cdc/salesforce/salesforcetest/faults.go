package salesforcetest

import (
	"fmt"
	"math"
	"net"
	"strings"
	"time"
)

// Unlimited is an allocation without end.
const Unlimited = math.MaxInt

// fault is what becomes of the next calls.
type fault struct {
	code refusal
	left int
}

// ExpireTokens ends all access tokens: no call but a stream that is open goes on with them.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// RefuseLogins refuses all logins, until it is called with false.
func (s *Server) RefuseLogins(refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

// Fail lets the next n calls fail with a code such as "service.unavailable", or, if it is empty, as if the network had reset them. where is
// a method, "GetTopic", "GetSchema" or "Subscribe", or a topic, whose GetTopic and Subscribe it then is. n = 0 takes it back.
func (s *Server) Fail(where, code string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n <= 0 {
		delete(s.faults, where)
		return
	}
	s.faults[where] = &fault{refusal(strings.TrimPrefix(code, codePrefix)), n}
}

// FailStreams ends the streams that are open on a topic, with a code such as "subscription.fetch.overflow", or, if it is empty, as if the
// network had reset them. It returns how many.
func (s *Server) FailStreams(topicName, code string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topicName]
	if t == nil {
		return 0
	}
	return t.end(refusal(strings.TrimPrefix(code, codePrefix)))
}

// end ends the streams of t, and returns how many.
func (t *topic) end(err error) int {
	for sub := range t.subs {
		sub.finish(err)
	}
	return len(t.subs)
}

// faultLocked takes one call off what Fail asked for.
func (s *Server) faultLocked(where string) error {
	f := s.faults[where]
	if f == nil {
		return nil
	}
	if f.left--; f.left == 0 {
		delete(s.faults, where)
	}
	return f.code
}

// Cut cuts all connections with the Pub/Sub API, wherever a message may have got to.
func (s *Server) Cut() {
	s.mu.Lock()
	var cut []net.Conn
	for c := range s.connections {
		cut = append(cut, c.Conn)
	}
	s.mu.Unlock()
	for _, c := range cut {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // what was written and not read is lost, too
		}
		_ = c.Close() // its owner closes it as well
	}
}

// Silence stops a topic: its streams stay open, and neither events nor keepalives come. False ends it.
func (s *Server) Silence(topicName string, silent bool) error {
	return s.withTopic(topicName, func(t *topic) {
		t.silent = silent
		t.wakeAll()
	})
}

// Deny forbids to subscribe to a topic. Streams that are open go on. False ends it.
func (s *Server) Deny(topicName string, deny bool) error {
	return s.withTopic(topicName, func(t *topic) { t.denied = deny })
}

// Forget drops all but the newest events of a topic, as retention does: the replay ids of those dropped are refused from then on. With
// keep = 0 all replay ids are that were given so far, those of keepalives too.
func (s *Server) Forget(topicName string, keep int) error {
	return s.withTopic(topicName, func(t *topic) {
		t.drop(len(t.events) - max(0, keep))
		if keep <= 0 {
			t.floor = s.bus.place + 1
		}
	})
}

// ResetReplayIDs starts a topic anew, as after the migration of an org: its events are gone, its replay ids mean nothing, and its streams
// are cut.
func (s *Server) ResetReplayIDs(topicName string) error {
	return s.withTopic(topicName, func(t *topic) {
		t.era = newEra(t.era)
		t.drop(len(t.events))
		t.end(refusal(serviceUnavailable))
	})
}

// SetAllocation lets n more events be delivered, to all streams together, or any number if it is Unlimited. Then streams end with
// "subscription.limit.exceeded".
func (s *Server) SetAllocation(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allocation = max(0, n)
}

func (s *Server) withTopic(name string, do func(*topic)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil {
		return fmt.Errorf("salesforcetest: there is no topic %q", name)
	}
	t.expire(time.Now().Add(-s.opts.Retention))
	do(t)
	return nil
}
