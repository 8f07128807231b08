package tier

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	maxInLine   = 1 << 16 // questions that wait; further ones are refused
	maxDirect   = 32      // calls under way that carry one caller's questions each
	lineSenders = 2       // goroutines that carry those of several callers each
	lineTurns   = 50      // RemoteTimeouts that a question may wait for its turn
	sendTurns   = 10      // RemoteTimeouts that a call may wait for a connection, and for the processor
)

// What a caller gets whose questions were not asked.
var (
	errLeftOut = errors.New("tier: L2 is left out: Redis fails")
	errLine    = errors.New("tier: L2 is left out: too many reads wait for it")
)

// A line is where questions to Redis wait for their turn: reads of values, or judgements. Each of a client's connections carries one call at
// a time, and a call that waits for a connection while its clock runs is taken for a failure of Redis: so at 2,000 readers of a pod most
// went to the source, and a larger pool did not help.
//
// As long as few calls are under way, a question is a call of its own, in its caller's goroutine. Further ones wait in the line, and
// lineSenders goroutines take as many from it as a call may carry, until it is empty. The clock of a call starts when it is sent.
//
// A question waits for lineTurns RemoteTimeouts at most, which a Redis that answers hardly needs, and not at all once the breaker is open. Who
// comes to a full line is refused.
type line[Q, A any] struct {
	send      func(ctx context.Context, questions []Q) ([]A, error) // one call; its error says that nothing was sent
	maxDirect int
	maxCount  int // questions that a call carries, and
	maxCost   int // the sum of their costs
	wait      time.Duration
	open      func() bool // reports whether Redis is left out

	mu      sync.Mutex // guards the fields below
	direct  int        // calls under way in their callers' goroutines
	senders int
	waiting []*turn[Q, A] // in the order of their coming
	inLine  int           // their questions
	running sync.WaitGroup
}

// A turn is the questions of one caller.
type turn[Q, A any] struct {
	ctx       context.Context //nolint:containedctx // the caller's, whose values the call has if the turn is its first
	came      time.Time
	questions []Q
	cost      func() int // of each; it may become known while they wait
	answers   []A
	err       error
	done      chan struct{} // closed when answers or err is set
}

// ask returns the answers to the questions of one caller, each of which costs about cost(). Its error says that they were not asked, or that ctx has
// ended.
func (l *line[Q, A]) ask(ctx context.Context, questions []Q, cost func() int) ([]A, error) {
	if l.open() {
		return nil, errLeftOut
	}
	l.mu.Lock()
	if len(l.waiting) == 0 && l.direct < l.maxDirect {
		l.direct++
		l.mu.Unlock()
		defer l.sent()
		return l.send(ctx, questions)
	}
	if l.inLine+len(questions) > maxInLine {
		l.mu.Unlock()
		return nil, errLine
	}
	t := &turn[Q, A]{ctx: ctx, came: time.Now(), questions: questions, cost: cost, done: make(chan struct{})}
	l.waiting = append(l.waiting, t)
	l.inLine += len(questions)
	if l.senders < lineSenders {
		l.senders++
		l.running.Go(l.serve)
	}
	l.mu.Unlock()
	select {
	case <-t.done:
		return t.answers, t.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *line[Q, A]) sent() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.direct--
}

// serve carries what waits, until nothing does.
func (l *line[Q, A]) serve() {
	for {
		turns := l.take()
		if len(turns) == 0 {
			return
		}
		l.carry(turns)
	}
}

// take takes the turns of one call from the line. It takes none, and the sender is one less, if nobody waits: both under one lock, or
//
//	1 sender: finds nobody
//	2 caller: joins the line; there are senders enough
//	3 sender: ends; the caller waits for nobody
func (l *line[Q, A]) take() []*turn[Q, A] {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, count, cost := 0, 0, 0
	for _, t := range l.waiting {
		count += len(t.questions)
		cost += len(t.questions) * t.cost()
		if n > 0 && (count > l.maxCount || cost > l.maxCost) {
			break
		}
		n++
		l.inLine -= len(t.questions)
	}
	if n == 0 {
		l.senders--
		l.waiting = nil
		return nil
	}
	turns := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return turns
}

// carry sends the questions of turns in one call, but for those whose callers have left or have waited too long.
func (l *line[Q, A]) carry(turns []*turn[Q, A]) {
	var asked []*turn[Q, A]
	var questions []Q
	for _, t := range turns {
		switch {
		case t.ctx.Err() != nil:
			t.end(nil, context.Cause(t.ctx))
		case l.open():
			t.end(nil, errLeftOut)
		case time.Since(t.came) > l.wait:
			t.end(nil, errLine)
		default:
			asked = append(asked, t)
			questions = append(questions, t.questions...)
		}
	}
	if len(asked) == 0 {
		return
	}
	answers, err := l.send(context.WithoutCancel(asked[0].ctx), questions)
	for _, t := range asked {
		if err != nil {
			t.end(nil, err)
			continue
		}
		t.end(answers[:len(t.questions)], nil)
		answers = answers[len(t.questions):]
	}
}

func (t *turn[Q, A]) end(answers []A, err error) {
	t.answers, t.err = answers, err
	close(t.done)
}

// release ends all that wait: the breaker has opened.
func (l *line[Q, A]) release() {
	l.mu.Lock()
	turns := l.waiting
	l.waiting, l.inLine = nil, 0
	l.mu.Unlock()
	for _, t := range turns {
		t.end(nil, errLeftOut)
	}
}

// depth is how many questions wait.
func (l *line[Q, A]) depth() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inLine
}

// close waits for the calls that have no caller any more. Nobody may ask meanwhile.
func (l *line[Q, A]) close() { l.running.Wait() }
