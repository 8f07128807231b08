package cdc_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/cdc"
)

// A handover is a source whose one batch is taken while its lag is asked for. All its methods are those of cdc.Source and cdc.Stream.
type handover struct {
	asked chan struct{} // closed when the lag is asked for
	taken bool
}

func (h *handover) Identity() string { return "world" }

func (h *handover) Exclusive() bool { return true }

func (h *handover) Open(context.Context, string) (cdc.Stream, error) { return h, nil }

func (h *handover) Next(ctx context.Context) (cdc.Batch, error) {
	select {
	case <-h.asked:
		if !h.taken {
			h.taken = true
			return batch("a"), nil
		}
	case <-ctx.Done():
		return cdc.Batch{}, ctx.Err()
	}
	<-ctx.Done()
	return cdc.Batch{}, ctx.Err()
}

func (h *handover) Lag() (time.Duration, bool) {
	select {
	case <-h.asked:
	default:
		close(h.asked)
		synctest.Wait() // the follower has taken the batch
	}
	return 0, true // nothing is left in the stream
}

func (*handover) Ack(context.Context, string) error { return nil }
func (*handover) Close(context.Context) error       { return nil }

// stuck is a feed that takes no invalidation.
type stuck struct{ feed }

func (stuck) Invalidate(ctx context.Context, _ ...string) error {
	<-ctx.Done()
	return ctx.Err()
}

// A batch on its way from the stream to the follower is in one of the two.
func TestLagOfABatchBetweenStreamAndFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handover{asked: make(chan struct{})}
		follower, stop := run(t, cdc.FollowerConfig{
			Source: h, Feed: stuck{feed{newWorld(t)}}, Heartbeat: time.Hour,
			Routes: cdc.Routes{"t": {All: []string{"all"}}},
		})
		defer stop()
		synctest.Wait()
		if st := follower.Stats(); st.Lag == 0 || st.Held != 1 {
			t.Errorf("lag %s, %d held; want the batch that was taken meanwhile", st.Lag, st.Held)
		}
	})
}
