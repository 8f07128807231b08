package cdctest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// childEnv makes a test binary a follower: it holds a childConfig as JSON.
const childEnv = "TANDEM_CDCTEST_CHILD"

// childBeat is the heartbeat of the followers that are killed: a lease outlives its
// follower by five of them.
const childBeat = 20 * time.Millisecond

// childConfig is all that the follower in a process of its own knows.
type childConfig struct {
	Ledger         string // address
	Source         string // Rig.Config
	Entity, Column string
	Doom           int // it dies at this point, before or after a step; 0: it is killed
}

// Child is for TestMain: in a process that Kill has started it is the follower, and
// doesn't return. source makes the source of Rig.Config.
func Child(source func(config string) (cdc.Source, error)) {
	text := os.Getenv(childEnv)
	if text == "" {
		return
	}
	if err := live(text, source); err != nil {
		fmt.Fprintln(os.Stderr, "cdctest: the follower in a process of its own:", err)
	}
	os.Exit(1)
}

// live follows until the process is killed, or the ledger's has ended.
func live(text string, source func(config string) (cdc.Source, error)) error {
	var cfg childConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	s, err := source(cfg.Source)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", cfg.Ledger)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := routing{cfg.Entity, cfg.Column}
	w := &watch{book: &orphan{newRemoteBook(conn), cancel}, names: r.names, hook: suicide(cfg.Doom)}
	f, err := followerOf(r, &watchedSource{Source: s, watch: w}, &watchedFeed{watch: w}, childBeat)
	if err != nil {
		return err
	}
	return f.Run(ctx)
}

// suicide returns a hook that kills the process when it runs for the nth time. Reports
// don't count, which have no effect to lose, and nothing does before the source is
// opened: while another's lease runs out, a follower only asks for it.
func suicide(n int) hook {
	var points atomic.Int64
	return func(_, step string) error {
		if step == stepReport || step != stepOpen && points.Load() == 0 {
			return nil
		}
		if points.Add(1) == int64(n) {
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				_ = self.Kill()
			}
			select {} // not a step further
		}
		return nil
	}
}

// orphan ends the follower when the ledger doesn't answer any more.
type orphan struct {
	book
	end context.CancelFunc
}

func (o *orphan) enter(e entry) (answer, error) {
	a, err := o.book.enter(e)
	if err != nil {
		o.end()
	}
	return a, err
}
