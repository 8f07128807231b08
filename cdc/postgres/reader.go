package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// silence is how long the server may say nothing, though it is asked to answer
// at every status, before the stream counts as dead. (The default of
// wal_receiver_timeout.)
const silence = 60 * time.Second

// drainTimeout bounds the wait for the server to let go of the slot. The server
// first sends what it has begun to, which takes seconds where either machine is
// busy; hung up on before that, it may never hear of the last acknowledgement.
const drainTimeout = 5 * time.Second

// reader owns the replication connection while it runs. It reads, decodes and
// fills the queue; while the queue is full it goes on sending its status, so
// that the server keeps the connection.
type reader struct {
	conn    *pgconn.PgConn
	decoder *decoder
	queue   *queue
	every   time.Duration // between two statuses

	acked atomic.Uint64 // set by Ack

	sent     pglogrepl.LSN // acknowledged to the server
	received pglogrepl.LSN // everything before it was pushed
	heard    time.Time     // when the server last said something
	status   time.Time     // when the next status is due
	deadline time.Time     // of the connection: it is status, unless that has moved
}

// run returns when ctx ends or the stream breaks, and leaves no connection.
func (r *reader) run(ctx context.Context) error {
	defer r.end()
	defer r.interruptedBy(ctx)()
	r.heard = time.Now()
	for {
		if err := r.beat(time.Now()); err != nil {
			return err
		}
		message, err := r.receive(ctx)
		if err != nil {
			return err
		}
		if message == nil {
			if since := time.Since(r.heard); since > silence {
				return fmt.Errorf("postgres: the server has been silent for %s", since.Round(time.Second))
			}
			continue
		}
		r.heard = time.Now()
		if err := r.handle(ctx, message); err != nil {
			return err
		}
	}
}

// end sends the last acknowledgement, and hangs up. A connection that broke is closed by pgx in a goroutine of its own, beside which nothing
// may be sent; conns.close waits for it.
func (r *reader) end() {
	if r.conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if acked := pglogrepl.LSN(r.acked.Load()); acked <= r.sent || r.send(acked) == nil {
		drain(ctx, r.conn)
	}
	_ = r.conn.Close(ctx) // a connection that is broken can't be closed well
}

// drain says goodbye and reads until the server has hung up: then the slot is free.
func drain(ctx context.Context, conn *pgconn.PgConn) {
	conn.Frontend().Send(&pgproto3.Terminate{})
	if conn.Frontend().Flush() != nil {
		return
	}
	for {
		if _, err := conn.ReceiveMessage(ctx); err != nil {
			return
		}
	}
}

// interruptedBy lets the end of ctx end a read. restore takes that back, and leaves a connection without a deadline.
func (r *reader) interruptedBy(ctx context.Context) (restore func()) {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = r.conn.Conn().SetReadDeadline(time.Unix(1, 0)) // a connection that is closed ends reads by itself
	})
	return func() {
		if !stop() {
			<-interrupted
		}
		_ = r.conn.Conn().SetReadDeadline(time.Time{})
	}
}

// receive waits for a message until the next status is due (nil, nil).
//
// The connection's deadline is moved when the status is, and not for each message: a context for each, which pgx would watch, costs more than
// decoding it does. ctx is looked at after that: if it ends later, its deadline is the last one that is set.
func (r *reader) receive(ctx context.Context) (pgproto3.BackendMessage, error) {
	if r.deadline != r.status {
		r.deadline = r.status
		if err := r.conn.Conn().SetReadDeadline(r.deadline); err != nil {
			return nil, fmt.Errorf("postgres: the stream broke: %w", err)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	message, err := r.conn.ReceiveMessage(context.Background())
	switch {
	case err == nil:
		return message, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case pgconn.Timeout(err):
		return nil, nil
	default:
		return nil, fmt.Errorf("postgres: the stream broke: %w", err)
	}
}

func (r *reader) handle(ctx context.Context, message pgproto3.BackendMessage) error {
	switch m := message.(type) {
	case *pgproto3.CopyData:
		return r.copyData(ctx, m.Data)
	case *pgproto3.ErrorResponse:
		return advise(pgconn.ErrorResponseToPgError(m))
	case *pgproto3.CopyDone, *pgproto3.CommandComplete:
		return errors.New("postgres: the server ended the stream")
	default: // notices, parameter changes
		return nil
	}
}

func (r *reader) copyData(ctx context.Context, data []byte) error {
	if len(data) == 0 {
		return errors.New("postgres: empty replication message")
	}
	switch data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		return r.keepalive(data[1:])
	case pglogrepl.XLogDataByteID:
		x, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return fmt.Errorf("postgres: replication message: %w", err)
		}
		p, err := r.decoder.decode(x.WALData)
		if err != nil || p == nil {
			return err
		}
		return r.push(ctx, *p)
	default:
		return nil
	}
}

// keepalive carries how far the server has read its log. Outside of a transaction
// everything before that has been pushed.
func (r *reader) keepalive(data []byte) error {
	k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data)
	if err != nil {
		return fmt.Errorf("postgres: keepalive: %w", err)
	}
	if !r.decoder.open {
		r.received = max(r.received, k.ServerWALEnd)
		r.queue.reach(r.received)
	}
	if k.ReplyRequested {
		r.status = time.Time{}
	}
	return nil
}

// push waits for room in the queue.
func (r *reader) push(ctx context.Context, p piece) error {
	for !r.queue.push(p) {
		timer := time.NewTimer(time.Until(r.status))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-r.queue.room:
		case <-timer.C:
		}
		timer.Stop()
		r.heard = time.Now() // nobody listened
		if err := r.beat(r.heard); err != nil {
			return err
		}
	}
	if p.end != 0 {
		r.received = max(r.received, p.end)
	}
	return nil
}

// beat sends the status if it is due or there is something to acknowledge.
func (r *reader) beat(now time.Time) error {
	acked := pglogrepl.LSN(r.acked.Load())
	if acked <= r.sent && now.Before(r.status) {
		return nil
	}
	if acked > r.sent {
		if err := r.send(acked); err != nil {
			return err
		}
		r.sent = acked
	}
	r.status = now.Add(r.every)
	return r.send(0)
}

// send writes a standby status. The server moves the slot to flushed unless that
// is 0. In between it must stay 0: a connection that reports a flush position
// counts as a synchronous standby wherever synchronous_standby_names matches it
// ('*' does), and then a commit would wait for the follower and the follower
// for the commit.
func (r *reader) send(flushed pglogrepl.LSN) error {
	b := make([]byte, 0, 34)
	b = append(b, pglogrepl.StandbyStatusUpdateByteID)
	b = binary.BigEndian.AppendUint64(b, uint64(r.received))
	b = binary.BigEndian.AppendUint64(b, uint64(flushed))
	b = binary.BigEndian.AppendUint64(b, uint64(flushed))
	b = binary.BigEndian.AppendUint64(b, uint64(time.Since(pgEpoch).Microseconds()))
	b = append(b, 1) // answer, please
	message, err := (&pgproto3.CopyData{Data: b}).Encode(nil)
	if err == nil {
		err = r.conn.Frontend().SendUnbufferedEncodedCopyData(message)
	}
	if err != nil {
		return fmt.Errorf("postgres: send the status: %w", err)
	}
	return nil
}

var pgEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
