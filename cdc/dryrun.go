package cdc

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// DryRun prints to w each event of source, and what a follower with routes and the defaults of FollowerConfig would outdate for it, until
// ctx ends (nil) or the source or w fails. It opens the source without a position, acknowledges nothing and touches no cache.
//
// Give it a source of its own: one that is exclusive can't be followed meanwhile, and what is never acknowledged is kept. With
// cdc/postgres that is one whose Config.Temporary is set, with another name for the slot. A stream that begins only when its
// first batch is acknowledged, as that of a slot yet to be made, ends DryRun with an error.
func DryRun(ctx context.Context, source Source, routes Routes, w io.Writer) error {
	if source == nil {
		return errors.New("cdc: DryRun: a source is required")
	}
	made, err := routes.compile()
	if err != nil {
		return err
	}
	stream, err := source.Open(ctx, "")
	if err != nil {
		return fmt.Errorf("cdc: DryRun: open the source: %w", err)
	}
	dry := dryRun{router: made, routing: newRouting(DefaultCollapse), w: w}
	err = dry.run(ctx, stream)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(err, stream.Close(closing))
}

type dryRun struct {
	router  router
	routing routing
	w       io.Writer
	lost    bool // the last batch was Lost
}

func (d *dryRun) run(ctx context.Context, stream Stream) error {
	for {
		b, err := stream.Next(ctx)
		switch {
		case err == nil:
		case d.lost && ctx.Err() == nil:
			return fmt.Errorf("cdc: DryRun: read the source, whose first batch was not acknowledged, as it may have to be: %w", err)
		default:
			return fmt.Errorf("cdc: DryRun: read the source: %w", err)
		}
		if err := d.print(b); err != nil {
			return fmt.Errorf("cdc: DryRun: write: %w", err)
		}
	}
}

func (d *dryRun) print(b Batch) error {
	d.lost = b.Lost
	if b.Lost {
		if _, err := fmt.Fprintln(d.w, "changes before this may be missing\n  everything that the feed covers"); err != nil {
			return err
		}
	}
	for _, e := range b.Events {
		if _, err := fmt.Fprintln(d.w, d.router.explain(e, &d.routing)); err != nil {
			return err
		}
	}
	return nil
}
