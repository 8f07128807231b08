package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/cdc/postgres"
	"github.com/tandem-cache/tandem/internal/servertest"
)

// Items 1 and 2 lie on shelf 1; 3 and 5 on shelf 2; 4 on shelf 3. One transaction
// changes 1, 2 and 3; nobody reads item 3 by its key.
var (
	outdated = []string{"item 1", "item 2", "shelf 1", "shelf 2"}
	others   = []string{"item 4", "shelf 3"}
	changed  = []string{"k:shop:item:1", "t:item:1", "k:shop:item:2", "t:item:2", "k:shop:item:3", "t:item:3"}
)

// crashWorld is the servers that all lives share.
type crashWorld struct {
	db   *database
	addr string        // of Redis
	look *redis.Client // at what is in Redis
}

func newCrashWorld(t *testing.T) *crashWorld {
	t.Helper()
	w := &crashWorld{db: start(t), addr: servertest.StartRedis(t).Addr}
	w.look = redis.NewClient(&redis.Options{Addr: w.addr})
	t.Cleanup(func() { _ = w.look.Close() })
	w.db.exec(
		`CREATE TABLE items (id int PRIMARY KEY, shelf int NOT NULL, version int NOT NULL DEFAULT 1)`,
		`INSERT INTO items VALUES (1, 1), (2, 1), (3, 2), (4, 3), (5, 2)`,
		`CREATE PUBLICATION tandem FOR TABLE items`,
	)
	return w
}

// life is what happens around one doomed follower.
type life struct {
	*crashWorld
	doom
	t        *testing.T
	db       *database // the world's, but fails this test
	pods     []*crashPod
	position string        // of the batch that it died over
	target   pglogrepl.LSN // end of the log after the change
	done     []string      // steps that it did

	follower *cdc.Follower // its successor
}

// outlive starts a follower, lets two pods cache what it covers, changes rows, and
// waits until it has died where it should. A third pod reads after that.
func (w *crashWorld) outlive(t *testing.T, d doom, order []string) *life {
	t.Helper()
	d.Redis, d.Postgres = w.addr, w.db.URL
	l := &life{crashWorld: w, doom: d, t: t, db: &database{Postgres: w.db.Postgres, t: t, conn: w.db.conn}}
	c := l.spawn()
	c.expect("follows")
	for range 2 {
		l.pods = append(l.pods, openPod(t, d))
	}
	for _, p := range l.pods {
		l.warm(p)
	}
	before := l.state()
	l.change(`UPDATE items SET version = version + 1 WHERE id IN (1, 2)`, `UPDATE items SET version = version + 1 WHERE id = 3`)
	l.autopsy(c, order, before)
	late := openPod(t, d)
	for _, key := range outdated {
		late.get(t, key)
	}
	l.pods = append(l.pods, late)
	return l
}

// change runs statements in one transaction.
func (l *life) change(statements ...string) {
	l.t.Helper()
	err := pgx.BeginFunc(l.t.Context(), l.db.conn, func(tx pgx.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(l.t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	if l.target, err = pglogrepl.ParseLSN(l.db.text(`SELECT pg_current_wal_lsn()::text`)); err != nil {
		l.t.Fatal(err)
	}
}

// autopsy asserts that the child has died by its own hand, at its point and not
// elsewhere: by what it traced, and by what it left in the servers.
func (l *life) autopsy(c *child, order []string, before map[string]int64) {
	l.t.Helper()
	when, step, _ := strings.Cut(l.At, " ")
	i := slices.Index(order, step)
	var points []string
	for _, s := range order[:i] {
		points = append(points, "before "+s, "after "+s)
	}
	points = append(points, "before "+step)
	if when != "before" {
		points = append(points, l.At)
	}
	l.traced(c, points)
	if when == "after" {
		i++
	}
	l.done = order[:i]
	want := make(map[string]string)
	for j, s := range order {
		want[s] = map[bool]string{true: "done", false: "not done"}[j < i]
	}
	if diff := cmp.Diff(want, l.left(before)); diff != "" {
		l.t.Fatalf("left behind (-want +got):\n%s", diff)
	}
}

// traced waits for the end of the child, which must have passed points and no more.
func (l *life) traced(c *child, points []string) {
	l.t.Helper()
	got := c.wait()
	if len(got) == 0 {
		l.t.Fatalf("no change came: %s\n%s", c.cmd.ProcessState, &c.output)
	}
	if _, err := fmt.Sscanf(got[0], "change 3 %s", &l.position); err != nil {
		l.t.Fatalf("got %q; want a change of 3 events, with a position\n%s", got[0], &c.output)
	}
	if diff := cmp.Diff(points, got[1:]); diff != "" {
		l.t.Fatalf("steps (-want +got):\n%s%s", diff, &c.output)
	}
	if ws, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
		l.t.Fatalf("got %s; want killed\n%s", c.cmd.ProcessState, &c.output)
	}
}

// left says of each step whether it shows in the servers.
func (l *life) left(before map[string]int64) map[string]string {
	l.t.Helper()
	after, did := l.state(), make(map[string]string)
	for _, step := range rightOrder {
		switch n := after[step] - before[step]; {
		case n == 0:
			did[step] = "not done"
		case step == "deletes" && n < 2, step == "table" && n < int64(len(changed)):
			did[step] = "begun"
		default:
			did[step] = "done"
		}
	}
	return did
}

// state is a number for each step that grows when it is done.
func (l *life) state() map[string]int64 {
	l.t.Helper()
	ctx, pipe := l.t.Context(), l.look.Pipeline()
	tick := pipe.HGet(ctx, l.Name+":{tick}", "last")
	entries := pipe.Exists(ctx, l.Name+":shop:item:1", l.Name+":shop:item:2")
	journal := pipe.XRange(ctx, l.Name+":{bus}:journal", "-", "+")
	checkpoint := pipe.HGet(ctx, l.Name+":{feed:"+crashFeed+"}", "position")
	var names []*redis.FloatSliceCmd
	for b := range 32 {
		names = append(names, pipe.ZMScore(ctx, fmt.Sprintf("%s:{names:%02x}", l.Name, b), changed...))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		l.t.Fatal(err)
	}
	s := map[string]int64{"deletes": -entries.Val()}
	s["tick"], _ = tick.Int64()
	for _, entry := range journal.Val() {
		s["publish"] += count(!isReport(entry.Values["p"]))
	}
	for _, cmd := range names {
		for _, tick := range cmd.Val() {
			s["table"] += count(tick != 0)
		}
	}
	if at, ok := postgres.PositionLSN(l.position); ok {
		s["checkpoint"] = count(reached(checkpoint.Val(), at))
		s["ack"] = count(l.db.text(fmt.Sprintf(acknowledged, at, l.Name)) == "true")
	}
	return s
}

func count(ok bool) int64 {
	if ok {
		return 1
	}
	return 0
}

// restart starts a follower that lives, waits until the checkpoint has passed the
// change, and opens a pod that knows nothing yet.
func (l *life) restart() {
	l.t.Helper()
	client := connect(l.t, l.Redis)
	l.follower = newFollower(l.t, l.doom, client, nil)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.follower.Run(ctx) }) // its only error: it runs already
	l.t.Cleanup(func() {
		cancel()
		wg.Wait()
		src, err := postgres.NewSource(postgres.Config{ConnString: l.Postgres, Slot: l.Name, Publication: "tandem"})
		if err == nil {
			err = src.DropSlot(context.Background())
		}
		if err != nil {
			l.t.Error(err)
		}
	})
	l.passed()
	l.pods = append(l.pods, openPod(l.t, l.doom))
}

// passed waits until the checkpoint is behind the last change.
func (l *life) passed() {
	l.t.Helper()
	position := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		position = l.look.HGet(l.t.Context(), l.Name+":{feed:"+crashFeed+"}", "position").Val()
		if reached(position, l.target) && reached(l.follower.Stats().Position, l.target) { // it counts after it has stored
			return
		}
	}
	l.t.Fatalf("the checkpoint is %q; want one behind %s: %+v", position, l.target, l.follower.Stats())
}

// goesOn asserts that the new follower hears of further changes, and that it was
// given those events again that it should: neither more, nor a flush that would
// hide what is missing.
func (l *life) goesOn(again int) {
	l.t.Helper()
	l.change(`UPDATE items SET version = version + 1 WHERE id = 4`)
	l.passed()
	l.settle(l.pods, others)
	type did struct{ Events, Flushes, Opened uint64 }
	st := l.follower.Stats()
	if diff := cmp.Diff(did{uint64(again) + 1, 0, 1}, did{st.Events, st.Flushes, st.Opened}); diff != "" {
		l.t.Errorf("the new follower (-want +got):\n%s", diff)
	}
}
