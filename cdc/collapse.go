package cdc

import "maps"

// collapse counts the rows that a transaction outdates one by one. Of an entity that has more than limit, All is outdated once, and the
// rest of its rows in this transaction are skipped. It remembers one transaction; of entities only those that have a route.
//
// Why the rest may be skipped, though it may come many batches later: a source hands over a transaction, and each part of it, only when a
// new read sees all of it, so that nothing can be loaded after All was outdated that All would not have covered.
//
//   - With a settle time: all of the transaction was committed before its first part was handed over. A replica that lags by less than the
//     settle time has replayed all of it when All is repeated.
//   - After a crash: the checkpoint lies before the transaction, or in it and behind the batch whose names, All among them, were
//     acknowledged. The session that starts from it counts anew: at worst it outdates All again.
//   - After a failover that forgot All: the server is another, and no checkpoint moves there; a new session counts anew.
//
// For the same reasons the stream may leave the rest out (Skipper), before the cache has accepted All: the position moves at the end of the
// transaction, after the batch with All, and a stream that is opened anew knows nothing of what an earlier one left out.
//
//   - It concerns this transaction alone. All was outdated when a new read saw this one; rows of the next one may be read, and cached, from
//     then on in their old version.
//   - It concerns this entity alone, though others may come in the same part of the transaction.
type collapse struct {
	limit       int // negative: never
	transaction string
	rows        map[*route]int
}

// clone is for going through a batch a second time.
func (c *collapse) clone() collapse {
	return collapse{limit: c.limit, transaction: c.transaction, rows: maps.Clone(c.rows)}
}

// see takes note of an event, also of one that has no route: what comes after another transaction is a new one, whatever its name.
func (c *collapse) see(e *Event) {
	if e.Transaction != c.transaction {
		c.transaction = e.Transaction
		clear(c.rows)
	}
}

// done says that the transaction of the event seen last has outdated All of the route.
func (c *collapse) done(r *route) bool {
	return c.limit >= 0 && c.rows[r] > c.limit
}

// over counts rows that the event seen last outdated one by one. True: they are too many, and All is to be outdated instead.
func (c *collapse) over(r *route, rows int) bool {
	if c.limit < 0 || c.transaction == "" || rows == 0 {
		return false
	}
	if c.rows == nil {
		c.rows = make(map[*route]int)
	}
	c.rows[r] += rows
	return c.rows[r] > c.limit
}
