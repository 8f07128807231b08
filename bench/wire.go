package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
)

// A message is one line between the program and a pod.
type message struct {
	Kind string          `json:"kind"`
	Data json.RawMessage `json:"data,omitempty"`
}

// isPush says whether a message is one that nobody answers.
func isPush(kind string) bool { return strings.HasPrefix(kind, "push-") }

// kindError is the kind of an answer that is an error's text.
const kindError = "error"

// A wire writes messages. Its methods may be called from any goroutine.
type wire struct {
	mu  sync.Mutex // guards out
	out io.Writer
}

func (w *wire) send(kind string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("send %s: %w", kind, err)
	}
	line, err := json.Marshal(message{kind, raw})
	if err != nil {
		return fmt.Errorf("send %s: %w", kind, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.out.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("send %s: %w", kind, err)
	}
	return nil
}

// receive calls take for each message until in ends, which is no error.
func receive(in io.Reader, take func(message) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("receive %.80q: %w", lines.Text(), err)
		}
		if err := take(m); err != nil {
			return err
		}
	}
	return lines.Err()
}
