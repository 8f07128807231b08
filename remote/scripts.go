package remote

import (
	"context"
	_ "embed" // the scripts
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/script"
)

var (
	//go:embed lua/tick.lua
	tickLua string
	//go:embed lua/note.lua
	noteLua string
	//go:embed lua/touch.lua
	touchLua string
	//go:embed lua/claim.lua
	claimLua string
	//go:embed lua/bucket_begin.lua
	bucketBeginLua string
	//go:embed lua/bucket_end.lua
	bucketEndLua string
	//go:embed lua/acquire.lua
	acquireLua string
	//go:embed lua/fill.lua
	fillLua string
	//go:embed lua/renew.lua
	renewLua string
	//go:embed lua/release.lua
	releaseLua string
	//go:embed lua/checkpoint.lua
	checkpointLua string
	//go:embed lua/move.lua
	moveLua string
	//go:embed lua/witness.lua
	witnessLua string
	//go:embed lua/advance.lua
	advanceLua string
	//go:embed lua/lead.lua
	leadLua string
	//go:embed lua/resign.lua
	resignLua string
	//go:embed lua/index_add.lua
	indexAddLua string
	//go:embed lua/index_take.lua
	indexTakeLua string
	//go:embed lua/index_drop.lua
	indexDropLua string

	// These write to bounded keys only, and run while Redis is full: invalidations and followers go on. The counter and a checkpoint are a hash
	// of a few fields each, a lease is a string that expires, and the table has a fixed count of buckets of a fixed size.
	tickScript        = script.NewBounded(script.Reign + tickLua)
	touchScript       = script.NewBounded(noteLua + touchLua)
	claimScript       = script.NewBounded(noteLua + claimLua)
	bucketBeginScript = script.NewBounded(noteLua + bucketBeginLua)
	bucketEndScript   = script.NewBounded(bucketEndLua)
	acquireScript     = redis.NewScript(acquireLua)
	fillScript        = redis.NewScript(fillLua)
	renewScript       = redis.NewScript(renewLua)
	releaseScript     = redis.NewScript(releaseLua)
	checkpointScript  = script.NewBounded(script.Reign + checkpointLua)
	advanceScript     = script.NewBounded(script.Reign + moveLua + advanceLua)
	leadScript        = script.NewBounded(leadLua)
	resignScript      = redis.NewScript(resignLua)
	indexAddScript    = redis.NewScript(indexAddLua)
	indexTakeScript   = redis.NewScript(indexTakeLua)
	indexDropScript   = redis.NewScript(indexDropLua)
)

// pipelined runs a pipeline of scripts called by their digest. Where a server does not know one (it was restarted), all are
// sent in full and the pipeline runs once more: each script may run twice.
func (s *Store) pipelined(ctx context.Context, scripts []*redis.Script, fill func(redis.Pipeliner)) error {
	err := s.exec(ctx, fill)
	if !script.IsUnknown(err) {
		return err
	}
	for _, script := range scripts {
		if err := script.Load(ctx, s.client).Err(); err != nil {
			return err
		}
	}
	return s.exec(ctx, fill)
}

// bounded runs a pipeline of calls of one script by its digest, as pipelined does, and where Redis is full once more with the script that may
// write then: a call may run twice.
func (s *Store) bounded(ctx context.Context, b *script.Bounded, fill func(redis.Pipeliner, *redis.Script)) error {
	run := func(of *redis.Script) error {
		return s.pipelined(ctx, []*redis.Script{of}, func(p redis.Pipeliner) { fill(p, of) })
	}
	err := run(b.Plain)
	if !script.IsFull(err) {
		return err
	}
	known, loadErr := b.Load(ctx, s.client)
	if loadErr != nil {
		return loadErr
	}
	if !known {
		return err
	}
	return run(b.Full)
}

// exec runs a pipeline and returns its first error that is not the absence of a value; before others, that a script is not known.
func (s *Store) exec(ctx context.Context, fill func(redis.Pipeliner)) (first error) {
	pipe := s.client.Pipeline()
	fill(pipe)
	cmds, _ := pipe.Exec(ctx) // its error is one of the commands'
	for _, cmd := range cmds {
		err := cmd.Err()
		switch {
		case err == nil, errors.Is(err, redis.Nil):
		case script.IsUnknown(err):
			return err
		case first == nil:
			first = err
		}
	}
	return first
}
