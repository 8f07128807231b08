package cdctest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Defaults of Kills.
const (
	DefaultKills = 200
	DefaultLanes = 2
)

// Bounds of a follower's life in a process of its own.
const (
	maxDoom    = 60                     // points
	maxMoments = 150 * time.Millisecond // after it opens the source
	maxLife    = 5 * time.Second        // one that doesn't reach its point is killed
)

// Kills is how often followers die.
type Kills struct {
	Count int    // processes that are killed; 0: DefaultKills
	Lanes int    // rigs that this happens on at the same time; 0: DefaultLanes
	Seed  uint64 // of what is random; 0: a new one, which is logged
}

// Kill follows a source from processes of their own, which are killed at random: half
// of them by themselves, before or after a step, and half after a random time. Rows
// change all the while. In the end each change was invalidated after it was made;
// no checkpoint moved, and nothing was acknowledged, before its effect. The only
// flush is the one that the source begins with: a flush would hide a loss.
//
// The processes run the test binary, whose TestMain must call Child first.
func Kill(t *testing.T, newRig func(t *testing.T) Rig, k Kills) {
	k.Count, k.Lanes = cmp.Or(k.Count, DefaultKills), cmp.Or(k.Lanes, DefaultLanes)
	k.Seed = cmp.Or(k.Seed, rand.Uint64())
	t.Logf("%d kills, seed %d", k.Count, k.Seed)
	var making sync.Mutex
	t.Run("lanes", func(t *testing.T) {
		for n := range k.Lanes {
			count := (k.Count + n) / k.Lanes
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				rig := oneByOne(&making, func() Rig { return newRig(t).withDefaults(t) })
				l := &lane{probe: &probe{TB: t, rig: rig}, random: rand.New(rand.NewPCG(k.Seed, uint64(n)))}
				l.run(count)
			})
		}
	})
}

// oneByOne spares a rig's author the lock.
func oneByOne(mu *sync.Mutex, newRig func() Rig) Rig {
	mu.Lock()
	defer mu.Unlock()
	return newRig()
}

// lane is a source whose followers are killed one after another.
type lane struct {
	*probe
	random   *rand.Rand
	ledger   *Ledger
	listener net.Listener
	opens    chan struct{} // a token when a follower opens the source for the first time
	wg       sync.WaitGroup
	last     atomic.Value   // string: the last step that came
	ids      []string       // that changed
	late     int            // followers that didn't reach their point
	died     map[string]int // followers, by their last step
}

func (l *lane) run(count int) {
	l.ledger = NewLedger(l.routing().names)
	l.died = make(map[string]int)
	f := l.follow(l.ledger, l.rig.Source, nil) // or changes would be covered by the flush
	l.await("the first acknowledgement", func() bool { return l.ledger.Acknowledged() != "" })
	l.applied(l.ledger, l.change(1)) // it has taken effect: what is stopped in the middle of it would flush again, and rightly so
	f.stop()
	l.listen()
	for n := range count {
		c := l.spawn(n%2 == 0)
		l.outlive(c)
		l.faultless(l.ledger)
		if got := l.ledger.Flushes(); got != 1 {
			l.Errorf("everything was flushed %d times; want once, at the beginning", got)
		}
		if l.Failed() {
			return
		}
	}
	l.follow(l.ledger, l.rig.Source, nil)
	l.applied(l.ledger, l.ids)
	l.applied(l.ledger, l.change(1))
	if got := l.ledger.Flushes(); got != 1 {
		l.Errorf("everything was flushed %d times; want once, at the beginning", got)
	}
	l.Logf("%d changes; the last step of each follower: %v; %d were killed since they didn't come to it; all steps: %v",
		len(l.ids), l.died, l.late, l.ledger.counts())
}

// listen takes the steps of the processes.
func (l *lane) listen() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.Fatal(err)
	}
	l.listener, l.opens = listener, make(chan struct{}, 1)
	l.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() {
				defer func() { _ = conn.Close() }()
				serveBook(conn, &lastStep{lane: l, book: &life{ledger: l.ledger}})
			})
		}
	})
	l.Cleanup(func() {
		_ = listener.Close()
		l.wg.Wait() // the processes have ended
	})
}

// lastStep notes the steps of a process.
type lastStep struct {
	*lane
	book   book
	opened bool
}

func (b *lastStep) enter(e entry) (answer, error) {
	b.last.Store(e.Step)
	if e.Step == stepOpen && !b.opened {
		b.opened = true
		select {
		case b.opens <- struct{}{}:
		default: // its parent has gone on to the next
		}
	}
	return b.book.enter(e)
}

// child is a follower in a process of its own.
type child struct {
	cmd    *exec.Cmd
	output bytes.Buffer // complete when it has ended
	ended  chan struct{}
	doomed bool
}

// spawn starts a follower. doomed: it kills itself.
func (l *lane) spawn(doomed bool) *child {
	l.Helper()
	cfg := childConfig{Ledger: l.listener.Addr().String(), Source: l.rig.Config, Entity: l.rig.Entity, Column: l.rig.Column}
	if doomed {
		cfg.Doom = 1 + l.random.IntN(maxDoom)
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		l.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0]), ended: make(chan struct{}), doomed: doomed}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	l.last.Store("none")
	select {
	case <-l.opens: // of one before
	default:
	}
	if err := c.cmd.Start(); err != nil {
		l.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // its end is in ProcessState
	}()
	l.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

// outlive changes rows until the follower is dead.
func (l *lane) outlive(c *child) {
	l.Helper()
	life := time.NewTimer(maxLife)
	defer life.Stop()
	opens := l.opens
	var moment <-chan time.Time
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-opens:
			opens = nil
			if !c.doomed {
				moment = time.After(time.Duration(l.random.Int64N(int64(maxMoments))))
			}
		case <-moment:
			_ = c.cmd.Process.Kill()
		case <-life.C:
			l.late++
			_ = c.cmd.Process.Kill()
		case <-pace.C:
			l.ids = append(l.ids, l.change(1+l.random.IntN(3))...)
		case <-c.ended:
			l.autopsy(c)
			return
		}
	}
}

// maxOutput bounds what is shown of a process.
const maxOutput = 4 << 10

// autopsy fails the test of a follower that ended by itself.
func (l *lane) autopsy(c *child) {
	l.Helper()
	step, _ := l.last.Load().(string)
	l.died[step]++
	output := c.output.String()
	if c.cmd.ProcessState.Exited() || strings.Contains(output, "DATA RACE") {
		l.Fatalf("the follower in a process of its own: %v; want it killed\n%.*s", c.cmd.ProcessState, maxOutput, output)
	}
}
