package main

// The world of cdc/settle.go: a row, a replica that replays its changes late, loads that read from the replica, and a follower that
// may die. Its queue is in memory; the checkpoint is not. A value in the cache is never older than the checkpoint says.

const (
	settleNoRepeat rule = iota + 1
	settleCheckpointAtOnce
	settleTooShort
	settlePassesUnrepeated
	settleLoadNotJudged
)

type settleState struct {
	log        uint8 // changes committed on the primary
	replayed   uint8 // of them, on the replica
	taken      uint8 // of them, invalidated for the first time
	checkpoint uint8
	repeated   bool // the change after the checkpoint has been invalidated again
	crashes    uint8

	cached  bool
	value   uint8 // how many changes the cached row has seen
	loading bool
	dead    bool  // an invalidation came during the load
	read    uint8 // how many changes the loaded row has seen
}

func settleWorld() world {
	return model[settleState]{
		name: "settle", about: "loads from a replica that lags, a follower that repeats each invalidation and may die before",
		start: settleState{crashes: 2}, next: settleNext, broken: settleBroken,
		mutations: []mutation{
			{settleNoRepeat, "repeat", "an invalidation is repeated"},
			{settleTooShort, "settle-above-lag", "it is repeated when the replica has replayed the change"},
			{settleCheckpointAtOnce, "checkpoint-waits", "the checkpoint waits for the repeat"},
			{settlePassesUnrepeated, "in-order", "the checkpoint moves past no change that was not repeated"},
			{settleLoadNotJudged, "judged", "a load during which the repeat came is not stored"},
		},
		reaches: []string{"a load is stored", "the checkpoint moves", "the follower dies"},
	}.world()
}

func settleBroken(s settleState) string {
	if s.cached && s.value < s.checkpoint {
		return "the cache has an old value whose change lies before the checkpoint"
	}
	return ""
}

func settleNext(s settleState, off rule, to func(string, settleState)) {
	t := s
	if s.log < 3 {
		t.log++
		to("a change is committed", t)
	}
	if t = s; s.replayed < s.log {
		t.replayed++
		to("the replica replays a change", t)
	}
	t = s
	if !s.loading {
		t.loading, t.dead, t.read = true, false, s.replayed
		to("a load reads from the replica", t)
	} else {
		t.loading = false
		if !s.dead || off == settleLoadNotJudged {
			t.cached, t.value = true, s.read
		}
		to("a load is stored", t)
	}
	settleFollow(s, off, to)
}

// settleFollow is session.take and session.repeat. A session that ends drops the queue and begins at the checkpoint.
func settleFollow(s settleState, off rule, to func(string, settleState)) {
	if t := s; s.taken < s.log {
		t.taken++
		t.outdate()
		to("a change is invalidated", t)
	}
	waits, settled := s.checkpoint < s.taken, s.replayed > s.checkpoint
	if t := s; waits && !s.repeated && (settled || off == settleTooShort) && off != settleNoRepeat {
		t.repeated = true
		t.outdate()
		to("an invalidation is repeated", t)
	}
	if t := s; waits && (s.repeated || off == settleNoRepeat || off == settleCheckpointAtOnce) {
		t.checkpoint++
		if off == settlePassesUnrepeated {
			t.checkpoint = s.taken
		}
		t.repeated = false
		to("the checkpoint moves", t)
	}
	if t := s; s.crashes > 0 {
		t.crashes--
		t.taken, t.repeated = s.checkpoint, false
		to("the follower dies", t)
	}
}

func (s *settleState) outdate() { s.cached, s.value, s.dead = false, 0, s.loading }
