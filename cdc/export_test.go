package cdc

import "context"

// NamesOf returns what finds the names that batches outdate, one after the other.
func NamesOf(ctx context.Context, f *Follower) func(Batch) []string {
	m := newRouting(f.cfg.Collapse)
	return func(b Batch) []string { return f.route(ctx, b, &m).names }
}
