package cdc

import (
	"context"
	"errors"
	"time"
)

// ErrBusy is returned (wrapped) by Source.Open when another follower holds the
// source: stand by and try again.
var ErrBusy = errors.New("cdc: source is held by another follower")

// Source is where changes come from. Package cdctest checks that one keeps what is said here.
type Source interface {
	// Identity names what is followed, such as a replication slot and its publication, in 1 to 256 bytes of printable text: the same for every
	// instance of the service and after each restart, and another for a source of other changes. It is no secret, and no host that a
	// failover changes. A checkpoint carries it, and one of another source is refused.
	Identity() string
	// Exclusive says that a source which is open can't be opened again, by anybody:
	// Open is then ErrBusy. A source that can't promise it is opened by the one
	// follower that holds the feed's lease, and for moments by two.
	Exclusive() bool
	// Open starts a stream after the position from, which an earlier batch
	// carried. Empty: there is no checkpoint, and the stream starts where the
	// source was last acknowledged. A source that can't start at from (unknown,
	// malformed, too old, made anew), or that remembers no acknowledgement and is
	// given no position, starts where it can, and its first batch is
	// Lost and carries the position it starts at. It must be Lost again at the
	// next Open if that position was never acknowledged. ctx bounds Open only.
	//
	// An error, of Open or of the stream, that has a method RetryAfter() time.Duration
	// makes the follower wait at least so long before it opens the source again.
	Open(ctx context.Context, from string) (Stream, error)
}

// Stream yields batches. Lag may be called from any goroutine and also after
// Close, the others from one goroutine at a time.
type Stream interface {
	// Next waits for the next batch. It hands over a change only when a new read
	// of the source sees it; if it can't tell, FollowerConfig.Settle makes up for
	// it. The end of ctx ends the wait and loses nothing: Next
	// may be called again. After any other error the stream is only good for Close.
	// After a Lost batch Next is not called before the position of that batch is
	// acknowledged.
	Next(ctx context.Context) (Batch, error)
	// Ack lets the source forget everything up to position, which came from a
	// batch of this stream or is the one that it was opened at. It may take effect
	// later, or at Close.
	Ack(ctx context.Context, position string) error
	// Lag is the time since the oldest change that Next has not returned yet was
	// committed; 0: there is none. known is false while the stream can't tell,
	// as before it has caught up with the moment it was opened: the follower then
	// reports that it isn't connected.
	Lag() (lag time.Duration, known bool)
	// Close ends the stream, and waits for its goroutines until ctx ends.
	// Only its first call does anything.
	Close(ctx context.Context) error
}
