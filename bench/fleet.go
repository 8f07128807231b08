package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

const (
	answerTimeout = 5 * time.Minute // for one answer of a pod
	endTimeout    = time.Minute     // for a pod to end after its input has
)

// A fleet is the pods of a run.
type fleet []*pod

// A pod is a process that serves as one. Its methods may be called from any goroutine; one call runs at a time.
type pod struct {
	wire
	number  int
	cmd     *exec.Cmd
	in      io.Closer
	answers chan message  // one a call
	gone    chan struct{} // closed when the process has ended; then err says how
	err     error

	calling sync.Mutex // one call at a time
}

// startFleet starts a process for each configuration. pushed gets what a pod sends without being asked, as isPush says; it is called by one goroutine for each pod.
func startFleet(ctx context.Context, configs []podConfig, pushed func(from int, m message)) (fleet, error) {
	f := make(fleet, 0, len(configs))
	for i := range configs {
		p, err := startPod(i, pushed)
		if err != nil {
			return nil, errors.Join(err, f.stop())
		}
		f = append(f, p)
	}
	err := f.each(func(p *pod) error { return p.call(ctx, "start", configs[p.number], nil) })
	if err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

func startPod(number int, pushed func(int, message)) (*pod, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("pod %d: %w", number, err)
	}
	cmd := exec.Command(self, podCommand)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("pod %d: %w", number, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("pod %d: %w", number, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("pod %d: %w", number, err)
	}
	p := &pod{number: number, cmd: cmd, in: in, answers: make(chan message, 1), gone: make(chan struct{})}
	p.out = in
	go p.listen(out, pushed)
	return p, nil
}

// listen owns the process: it hands over what the pod says and reaps it.
func (p *pod) listen(out io.Reader, pushed func(int, message)) {
	defer close(p.gone)
	err := receive(out, func(m message) error {
		if isPush(m.Kind) {
			pushed(p.number, m)
			return nil
		}
		select {
		case p.answers <- m:
			return nil
		default:
			return fmt.Errorf("an answer to no call: %s", m.Kind)
		}
	})
	if err != nil {
		_ = p.cmd.Process.Kill() // it may go on talking, and nobody listens
	}
	p.err = errors.Join(err, p.cmd.Wait())
}

// call sends a message, waits for the answer and, unless into is nil, reads it into that.
func (p *pod) call(ctx context.Context, kind string, data, into any) error {
	p.calling.Lock()
	defer p.calling.Unlock()
	if err := p.send(kind, data); err != nil {
		return fmt.Errorf("pod %d: %w", p.number, err)
	}
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	select {
	case m := <-p.answers:
		return p.read(m, kind, into)
	case <-p.gone:
		return fmt.Errorf("pod %d: %s: the process has ended: %w", p.number, kind, p.err)
	case <-timeout.C:
		return fmt.Errorf("pod %d: %s: no answer for %s", p.number, kind, answerTimeout)
	case <-ctx.Done():
		return fmt.Errorf("pod %d: %s: %w", p.number, kind, ctx.Err())
	}
}

func (p *pod) read(m message, kind string, into any) error {
	switch {
	case m.Kind == kindError:
		var text string
		_ = json.Unmarshal(m.Data, &text) // an empty text says as much
		return fmt.Errorf("pod %d: %s", p.number, text)
	case m.Kind != kind:
		return fmt.Errorf("pod %d: answered %s with %s", p.number, kind, m.Kind)
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(m.Data, into); err != nil {
		return fmt.Errorf("pod %d: %s: %w", p.number, kind, err)
	}
	return nil
}

// each calls do for all pods at once.
func (f fleet) each(do func(*pod) error) error {
	errs := make([]error, len(f))
	var wg sync.WaitGroup
	for i, p := range f {
		wg.Go(func() { errs[i] = do(p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// callAll calls all pods at once and returns their answers in order.
func callAll[T any](ctx context.Context, f fleet, kind string, data any) ([]T, error) {
	answers := make([]T, len(f))
	err := f.each(func(p *pod) error { return p.call(ctx, kind, data, &answers[p.number]) })
	return answers, err
}

// stop ends the pods and waits for them; one that does not end by itself is killed, and that is an error.
func (f fleet) stop() error {
	return f.each(func(p *pod) error {
		_ = p.in.Close() // its sign to end
		select {
		case <-p.gone:
		case <-time.After(endTimeout):
			_ = p.cmd.Process.Kill()
			<-p.gone
			return fmt.Errorf("pod %d: did not end by itself in %s", p.number, endTimeout)
		}
		if p.err != nil {
			return fmt.Errorf("pod %d: %w", p.number, p.err)
		}
		return nil
	})
}
