package cdc

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxIdentity bounds Source.Identity, in bytes.
const maxIdentity = 256

// CheckIdentity says what is wrong with what Source.Identity returns; nil: nothing.
func CheckIdentity(id string) error {
	odd := strings.IndexFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0
	if id == "" || len(id) > maxIdentity || odd || !utf8.ValidString(id) {
		return fmt.Errorf("cdc: FollowerConfig.Source: Identity %.80q: want 1 to %d bytes of printable text", id, maxIdentity)
	}
	return nil
}

// errForeign ends an attempt at a feed whose checkpoint is of another source.
var errForeign = errors.New("cdc: the feed follows another source")

// A checkpoint is what a feed stores: whose position it is, and the position. In text they are two lines. Versions before stored the position
// alone: it may be of any source, and is as good as none.
type checkpoint struct {
	text             string // as stored; "": there is none
	source, position string
}

func parseCheckpoint(text string) checkpoint {
	source, position, ok := strings.Cut(text, "\n")
	if !ok {
		return checkpoint{text: text}
	}
	return checkpoint{text: text, source: source, position: position}
}

func newCheckpoint(source, position string) checkpoint {
	return checkpoint{text: source + "\n" + position, source: source, position: position}
}

// of returns an error if the checkpoint is another source's than the one called id. Two sources on one feed would each start where the other
// was, or not at all, and no change between would come:
//
//  1. the source a is followed up to its position 70, and the feed's checkpoint says so
//  2. the source b is opened at 70, and its changes before that are lost
func (c checkpoint) of(id string) error {
	if c.source == "" || c.source == id {
		return nil
	}
	return fmt.Errorf("%w: %q, and this is %q. Give this one a feed of its own, and name both in strategies: tier.CDC(\"a\", \"b\"). "+
		"If it replaces the other, stop that one's followers and call Feed.Forget", errForeign, c.source, id)
}
