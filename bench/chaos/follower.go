package main

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
	"github.com/tandem-cache/tandem/tier"
)

const slotName = "tandem_chaos"

// serveFollower follows the feed, or stands by, until ctx ends.
func serveFollower(ctx context.Context, cfg childConfig, h *history, out io.Writer) error {
	cache, client, err := openCache(ctx, cfg.Redis, h)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	defer func() { _ = cache.Close(context.Background()) }()
	source, err := postgres.NewSource(postgres.Config{
		ConnString: cfg.Postgres, Slot: slotName, Publication: slotName, Tables: []string{"public.items"},
	})
	if err != nil {
		return err
	}
	feed, err := cache.Feed(feedName)
	if err != nil {
		return err
	}
	watched := &watchedFeed{Feed: feed, history: h, config: cfg}
	follower, err := cdc.NewFollower(cdc.FollowerConfig{
		Source: &watchedSource{source, watched}, Feed: watched,
		Routes: cdc.Routes{"public.items": {Row: watched.route, All: []string{
			tier.SpaceName(itemSpace), tier.Entity("item"),
		}}},
		Heartbeat: 500 * time.Millisecond, Standby: 300 * time.Millisecond,
		MinBackoff: 50 * time.Millisecond, MaxBackoff: time.Second,
	})
	if err != nil {
		return err
	}
	say(out, "ready")
	return follower.Run(ctx)
}

// A watchedSource tells the feed that a stream begins: what an earlier one brought and did not checkpoint comes again.
type watchedSource struct {
	cdc.Source
	feed *watchedFeed
}

func (s *watchedSource) Open(ctx context.Context, from string) (cdc.Stream, error) {
	s.feed.due = nil
	if s.feed.config.sabotaged(sabotageTimeline) {
		var err error
		if from, err = relabel(ctx, s.feed.config.Postgres, from); err != nil {
			return nil, err
		}
	}
	return s.Source.Open(ctx, from)
}

// A watchedFeed writes down which versions each advance of the checkpoint passes. All its methods but Report are called by the
// follower's one goroutine.
type watchedFeed struct {
	*tier.Feed
	history *history
	config  childConfig
	due     versions // brought and not yet passed
	calls   int

	position, server string // of the checkpoint, as a follower that is made to forget takes it to be
}

// Checkpoint implements cdc.Feed.
func (f *watchedFeed) Checkpoint(ctx context.Context) (position, server string, err error) {
	if f.config.sabotaged(sabotageForget) && f.server != "" {
		return f.position, f.server, nil
	}
	position, server, err = f.Feed.Checkpoint(ctx)
	if err == nil {
		f.position, f.server = position, server
	}
	return position, server, err
}

func (f *watchedFeed) route(r cdc.Row) []string {
	id := r.Must("id")
	number, err1 := strconv.Atoi(id)
	version, err2 := strconv.ParseInt(r.Must("version"), 10, 64)
	if err1 != nil || err2 != nil {
		panic("bug: a row of the chaos table does not hold numbers")
	}
	f.due.raise(number, version)
	return []string{tier.Key(itemSpace, id), tier.Tag("item", id)}
}

// raiseAll notes the versions that a new reader sees: an invalidation of all rows acknowledges each of them, also those of which no event came. Where
// they can't be read there is nothing to be checked.
func (f *watchedFeed) raiseAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, f.config.Postgres)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close(context.Background()) }()
	found, err := conn.Query(ctx, `SELECT id, version FROM items`)
	if err != nil {
		return
	}
	all := slices.Clone(f.due)
	var id int
	var version int64
	if _, err := pgx.ForEachRow(found, []any{&id, &version}, func() error { all.raise(id, version); return nil }); err == nil {
		f.due = all
	}
}

// raise notes a version, each row once.
func (v *versions) raise(id int, version int64) {
	i := slices.IndexFunc(*v, func(r rowVersion) bool { return r.id == id })
	if i < 0 {
		*v = append(*v, rowVersion{id, version})
		return
	}
	(*v)[i].version = max((*v)[i].version, version)
}

// Invalidate implements cdc.Feed.
func (f *watchedFeed) Invalidate(ctx context.Context, names ...string) error {
	if slices.Contains(names, tier.SpaceName(itemSpace)) {
		f.raiseAll(ctx)
	}
	begin := now()
	f.history.write(true, "T", int64(begin), f.due)
	var err error
	if f.calls++; !f.config.sabotaged(sabotageDrop) || f.calls%5 != 0 {
		err = f.Feed.Invalidate(ctx, names...)
	}
	f.history.write(true, "E", int64(begin), int64(now()), false, f.due) // acknowledged is what the checkpoint passes
	return err
}

// Flush implements cdc.Feed. It touches every row.
func (f *watchedFeed) Flush(ctx context.Context) error {
	all := make(versions, 0, rows)
	for id := range rows {
		all = append(all, rowVersion{id: id + 1})
	}
	begin := now()
	f.history.write(true, "T", int64(begin), all)
	err := f.Feed.Flush(ctx)
	f.history.write(true, "E", int64(begin), int64(now()), false, all)
	return err
}

// Advance implements cdc.Feed.
func (f *watchedFeed) Advance(ctx context.Context, server, from, to string) (bool, error) {
	if f.config.sabotaged(sabotageForget) {
		stored, here, err := f.Feed.Checkpoint(ctx)
		if err != nil {
			return false, err
		}
		server, from = here, stored
	}
	begin := now()
	ok, err := f.Feed.Advance(ctx, server, from, to)
	if ok && err == nil {
		_, position, _ := strings.Cut(to, "\n") // behind the source's name
		f.history.write(true, "F", int64(begin), int64(now()), position, f.due)
		f.due, f.position = nil, to
	}
	return ok, err
}
