// Package script runs Lua scripts in Redis, some of them also in a Redis that is full.
//
// A Redis at its maxmemory that may not evict refuses each write that could take memory, also the first one of a script; the script fails with
// "OOM" and has changed nothing. From version 7.0 on, a script whose first line is "#!lua flags=allow-oom" is not refused. Such a line
// changes other things too: without the flag no-writes the script is refused as a whole while the server can't persist, or has too few
// replicas, even where it would only have read; and an older server can't compile it. So a script is run without that line first, and
// only one that was refused for want of memory is run again with it. It costs nothing until Redis is full, and needs no look at the version.
package script

import (
	"context"
	_ "embed" // Lua
	"strings"

	"github.com/redis/go-redis/v9"
)

// Reign is Lua that scripts may begin with: reign() returns the identity of the server's reign, and same(stored, identity) compares.
//
//go:embed lua/reign.lua
var Reign string

// AllowOOM is the first line of a script that runs while Redis is full. Servers before 7.0 can't compile it.
const AllowOOM = "#!lua flags=allow-oom\n"

// A Bounded script writes only to keys whose size and number are bounded, whatever the application does, and so may write while Redis is
// full: what it takes is a few MB more than maxmemory, for a while.
type Bounded struct {
	Plain *redis.Script
	Full  *redis.Script // the same, for a Redis that is full
}

// NewBounded returns a script that writes to bounded keys only. Its first write must be the first thing that it does to the data.
func NewBounded(lua string) *Bounded {
	return &Bounded{Plain: redis.NewScript(lua), Full: redis.NewScript(AllowOOM + lua)}
}

// Run runs the script; in a Redis that is full a second time, so that it may write. On a server before 7.0 the error is then that Redis is
// full.
func (b *Bounded) Run(ctx context.Context, client redis.Scripter, keys []string, args ...any) *redis.Cmd {
	cmd := b.Plain.Run(ctx, client, keys, args...)
	if !IsFull(cmd.Err()) {
		return cmd
	}
	if again := b.Full.Run(ctx, client, keys, args...); !IsForeign(again.Err()) {
		return again
	}
	return cmd
}

// Load sends the script for a Redis that is full. It is false where the server does not know such scripts.
func (b *Bounded) Load(ctx context.Context, client redis.Scripter) (ok bool, err error) {
	err = b.Full.Load(ctx, client).Err()
	if IsForeign(err) {
		return false, nil
	}
	return err == nil, err
}

// IsFull reports whether Redis refused a write because it is full.
func IsFull(err error) bool { return redis.HasErrorPrefix(err, "OOM") }

// IsUnknown reports whether a server does not know a script that was called by its digest.
func IsUnknown(err error) bool { return redis.HasErrorPrefix(err, "NOSCRIPT") }

// IsForeign reports whether a server could not compile a script.
func IsForeign(err error) bool {
	return err != nil && strings.Contains(err.Error(), "compiling script")
}
