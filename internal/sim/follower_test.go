package sim

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/tier"
)

// follow runs a follower on a pod until ctx ends.
func (p *pod) follow(ctx context.Context) {
	feed, err := p.present().cache.Feed(feedName)
	if err != nil {
		panic(err)
	}
	cfg := cdc.FollowerConfig{
		Source: p.world.source, Feed: witness{feed, p.world}, Logger: quiet,
		Rewind: 5 * time.Second, Heartbeat: 300 * time.Millisecond, MaxBackoff: 500 * time.Millisecond,
		Routes: cdc.Routes{"row": {
			Row: func(r cdc.Row) []string {
				row, _ := strconv.Atoi(r.Must("id"))
				return namesOf(row)
			},
			All: []string{tier.Entity("row"), tier.SpaceName(rowSpace)},
		}},
	}
	if p.world.source.replica {
		cfg.Settle = settle
	}
	f, err := cdc.NewFollower(cfg)
	if err != nil {
		panic(err)
	}
	_ = f.Run(ctx)
}

// Identity implements cdc.Source.
func (s *source) Identity() string { return "sim" }

// Exclusive implements cdc.Source.
func (s *source) Exclusive() bool { return true }

// Open implements cdc.Source. Unlike most sources it lets two followers in.
func (s *source) Open(_ context.Context, from string) (cdc.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.acked
	if from != "" {
		at, _ = strconv.Atoi(from)
	}
	return &stream{source: s, at: at}, nil
}

type stream struct {
	source *source
	at     int // guarded by source.mu
}

// Next hands over what is visible, a few changes at a time.
func (st *stream) Next(ctx context.Context) (cdc.Batch, error) {
	for {
		if b, ok := st.next(); ok {
			return b, nil
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return cdc.Batch{}, err
		}
	}
}

func (st *stream) next() (b cdc.Batch, ok bool) {
	s := st.source
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.at == len(s.log) {
		return b, false
	}
	for most := 1 + s.dice.roll("batch").IntN(4); most > 0 && st.at < len(s.log); most-- {
		c := s.log[st.at]
		if c.visible.After(time.Now()) && !s.eager {
			break
		}
		b.Events = append(b.Events, cdc.Event{Entity: "row", Kind: cdc.Update, Rows: []cdc.Row{{"id": strconv.Itoa(c.row)}}})
		if b.Oldest.IsZero() {
			b.Oldest = c.at
		}
		b.Committed = c.at
		st.at++
	}
	b.Position = strconv.Itoa(st.at)
	return b, len(b.Events) > 0
}

// Ack implements cdc.Stream.
func (st *stream) Ack(_ context.Context, position string) error {
	n, err := strconv.Atoi(position)
	st.source.mu.Lock()
	defer st.source.mu.Unlock()
	st.source.acked = max(st.source.acked, n)
	return err
}

// Lag implements cdc.Stream.
func (st *stream) Lag() (time.Duration, bool) {
	st.source.mu.Lock()
	defer st.source.mu.Unlock()
	if st.at < len(st.source.log) {
		return time.Since(st.source.log[st.at].at), true
	}
	return 0, true
}

// Close implements cdc.Stream.
func (*stream) Close(context.Context) error { return nil }

// positionOf takes the name of the source off a checkpoint.
func positionOf(checkpoint string) string {
	_, position, _ := strings.Cut(checkpoint, "\n")
	return position
}

// A witness is the feed of a pod that tells when a change is acknowledged.
type witness struct {
	cdc.Feed
	world *world
}

// Advance implements cdc.Feed.
func (w witness) Advance(ctx context.Context, server, from, to string) (bool, error) {
	ok, err := w.Feed.Advance(ctx, server, from, to)
	if ok && err == nil {
		n, _ := strconv.Atoi(positionOf(to))
		w.world.ackedByFeed(n)
	}
	return ok, err
}
