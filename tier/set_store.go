package tier

import (
	"context"
	"slices"
	"time"

	"github.com/tandem-cache/tandem/local"
	"github.com/tandem-cache/tandem/remote"
)

// An offer is a value that a Set would store: an entry as a load from the time of the snapshot would have made it.
type offer struct {
	space *space
	entry *local.Entry
	env   *remote.Envelope
	tick  uint64 // of the snapshot
}

// name is the key's, on which an entry stands first of all.
func (o offer) name() string { return o.entry.Names[0].Text }

func (o offer) refuse(why reason) { o.space.refuse(o.space.key(o.entry.ID), why) }

// raise lets the value stand on its key at the tick of the Set's own invalidation, which it would not survive otherwise. All else stays at the
// snapshot's: others may have invalidated it meanwhile.
func (o offer) raise(tick uint64) {
	rest := o.entry.Names[1:]
	o.env.Names = slices.Clone(o.env.Names)
	for _, n := range rest[:len(rest)-len(o.env.Names)] { // space and feed: an envelope's are at its tick unless it names them
		o.env.Names = append(o.env.Names, remote.Name{Text: n.Text, Tick: n.Tick})
	}
	o.env.Tick = tick
	o.entry.Names[0] = local.NewName(o.name(), tick)
}

// set invalidates the key of an offer, and stores the offer if it is the only one to invalidate anything of it since the snapshot. Why that has to
// be so, and what an invalidation that is late has to do, is told at [Cache.overtake].
func (c *Cache) set(ctx context.Context, o offer) (stored bool, err error) {
	if c.remote == nil {
		stored = c.setAlone(o)
	} else {
		began := time.Now()
		stored, err = c.setRemote(ctx, o)
		c.stats.remoteCall(opSet, began, err)
	}
	if stored {
		c.landSet(o.space, o.entry)
	}
	return stored, err
}

// setAlone looks at what this pod knows, and applies its tick, under one lock. Otherwise:
//
//	1 we: write version 1 to the source
//	2 another: writes version 2, takes tick 7
//	3 we: find nothing new, take tick 8, apply it, store version 1, good up to tick 8
//	4 the other: applies tick 7, which outdates nothing
func (c *Cache) setAlone(o offer) (stored bool) {
	names := []string{o.name()}
	c.alone.Lock()
	defer c.alone.Unlock()
	stored = c.guard.Check(o.entry) == local.Valid
	tick := c.guard.Heard() + 1
	c.apply(names, tick)
	c.history.note(tick, originAPI)
	c.countInvalidations(originAPI, names)
	if !stored {
		o.refuse(reasonMoved)
		return false
	}
	o.raise(tick)
	return true
}

// setRemote is an invalidation whose touch of the table is a claim. Refused, it invalidates anew: its tick may be below that of another
// Set's claim. L2 is filled before the broadcast, which sends other pods there.
//
// Redis's table may have lost what this pod has applied: an invalidation that failed half-way, or a failover. So the pod's is asked, too.
func (c *Cache) setRemote(ctx context.Context, o offer) (stored bool, err error) {
	names := []string{o.name()}
	tick, err := c.takeTick(ctx)
	if err != nil {
		c.drop(names)
		return false, err
	}
	clean, err := c.claim(ctx, o, tick)
	switch {
	case err != nil:
		c.apply(names, tick)
		return false, err
	case !clean:
		o.refuse(reasonMoved)
		return false, c.invalidateRemote(ctx, originAPI, names)
	}
	defer c.apply(names, tick)
	if c.guard.Check(o.entry) != local.Valid {
		o.refuse(reasonMoved)
		return false, c.publish(ctx, originAPI, names, tick)
	}
	o.raise(tick)
	c.storeRemote(ctx, o)
	err = c.publish(ctx, originAPI, names, tick)
	return err == nil, err
}

// claim deletes the key from L2 and notes it in the table. clean says that nobody else did since the snapshot.
func (c *Cache) claim(ctx context.Context, o offer, tick uint64) (clean bool, err error) {
	if err := c.deleteRemote(ctx, []string{o.name()}); err != nil {
		return false, err
	}
	ctx, cancel := c.remoteContext(ctx)
	defer cancel()
	clean, whole, err := c.remote.Claim(ctx, o.name(), o.tick, tick)
	if !whole {
		c.mender.wake()
	}
	return clean, err
}

// storeRemote fills L2 under a lease. Where another pod has it, or has filled already, that load began after the key was deleted: its
// value is as new.
func (c *Cache) storeRemote(ctx context.Context, o offer) {
	hold := remote.Hold{Key: o.space.key(o.entry.ID), Token: c.pod.NewToken()}
	answer := c.remoteAcquire(ctx, []remote.Ask{{Hold: hold, Life: o.space.leaseLife(0)}})[0]
	held := &lease{space: o.space, hold: hold}
	if answer.Granted {
		o.env.Token, held.env = hold.Token, o.env
	} else {
		o.refuse(reasonLease)
	}
	if answer.Granted || answer.Err != nil { // it may have been granted, and is given back
		c.settle(ctx, []fetched{{entry: o.entry, from: tierSource, lease: held}})
	}
}

// landSet hands an entry to the keeper as that of a flight that has ended, so that who comes next finds it. A flight under way keeps its place, as
// Close has to find it: it hands the entry out to who would have joined it, and may be of before the write.
func (c *Cache) landSet(sp *space, e *local.Entry) {
	f := &flight{space: sp, id: e.ID, entry: e, asOf: e.Read, finished: true, cancel: func(error) {}}
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	if c.flights.closed || !sp.usable(e) || !c.keeper.offer(keeperJob{flight: f}) {
		return
	}
	key := flightKey{e.Space, e.ID}
	if before := c.flights.byKey[key]; before != nil && !before.finished {
		before.set = e
		return
	}
	c.flights.byKey[key] = f
}
