package main

// The worlds of cdc/session.go, cdc/follower.go, remote/lua/advance.lua and cdc's source: a log of changes, each of another row whose
// old value lies in L2, a master with a replica, one follower or two. A checkpoint is worth nothing if the server that holds it has not
// the deletes before it.

const (
	followCheckpointFirst rule = iota + 1
	followServerIgnored
	followServerBefore
	followRunIDAlone
	followNoHeartbeat
	followAckAtOnce
	followInvisible
	followFromIgnored
	followAckFirst
	followNoFlush
)

// A followRedis is a server's data: rows whose old value L2 does not hold, and the checkpoint.
type followRedis struct{ clean, checkpoint uint8 }

const (
	followOpen uint8 = iota // to be opened at the checkpoint
	followIdle
	followTaken   // a batch
	followApplied // it is invalidated
	followAsked   // who serves: only where the comparison is made before the write
)

type follower struct {
	pc       uint8
	position uint8
	reign    uint8 // the server as noted when the session began
	gone     bool  // crashed for good

	uncovered bool // there was no checkpoint: the feed is to be flushed
}

type followState struct {
	log, visible    uint8 // changes in the log; mask of those that a new read sees
	master, replica followRedis
	reign           uint8 // odd and even: two servers that take turns
	failovers       uint8
	crashes         uint8
	acked           uint8 // upstream: the source can't go back before it
	followers       [2]follower
	changes         uint8
	wrong           string
}

func followerWorld() world {
	return followModel("follower", "a follower through two failovers that lose writes, a retry on the new master, a late commit",
		followState{changes: 3, failovers: 2, followers: [2]follower{{}, {gone: true}}}, []mutation{
			{followCheckpointFirst, "checkpoint-last", "the checkpoint moves after the deletes"},
			{followServerIgnored, "server", "the checkpoint moves only on the server that it was read from"},
			{followServerBefore, "server-in-script", "it is compared in the script that writes: a client's retry may reach another"},
			{followRunIDAlone, "reign", "a server that is promoted again is another"},
			{followNoHeartbeat, "heartbeat", "an idle follower looks whether its checkpoint stands"},
			{followAckAtOnce, "ack-lag", "upstream acknowledgements lag behind the checkpoint"},
			{followInvisible, "visibility", "a change is handed over when a new read sees it"},
		},
		[]string{
			"follower 1: the checkpoint moves", "follower 1: the checkpoint is refused",
			"follower 1: idle, steps down", "follower 1: acknowledges upstream",
		})
}

func followersWorld() world {
	return followModel("followers", "two followers at once, one of which may die, and a failover",
		followState{changes: 3, failovers: 1, crashes: 1}, []mutation{
			{followFromIgnored, "from", "the checkpoint moves only from where this follower knew it"},
			{followCheckpointFirst, "checkpoint-last", "the checkpoint moves after the deletes"},
			{followServerIgnored, "server", "the checkpoint moves only on the server that it was read from"},
			{followAckFirst, "ack-after-checkpoint", "upstream is told after the checkpoint moved"},
		},
		[]string{"follower 2: the checkpoint is refused", "follower 1: dies"})
}

func firstWorld() world {
	return followModel("first", "a feed without a checkpoint, whose source was acknowledged by somebody else, and a failover",
		followState{log: 1, visible: 1, acked: 1, changes: 2, failovers: 1, followers: [2]follower{{}, {gone: true}}}, []mutation{
			{followNoFlush, "flush-first", "a feed without a checkpoint of its source is flushed first"},
			{followNoHeartbeat, "heartbeat", "an idle follower looks whether the server is the same: the flush has no checkpoint behind it"},
			{followServerIgnored, "server", "the checkpoint moves only on the server that it was read from"},
			{followCheckpointFirst, "checkpoint-last", "the checkpoint moves after the deletes"},
		},
		[]string{"follower 1: idle, flushes", "follower 1: flushes and deletes", "follower 1: the checkpoint is refused"})
}

func followModel(name, about string, start followState, mutations []mutation, reaches []string) world {
	return model[followState]{
		name: name, about: about, start: start, next: followNext, broken: followBroken, stuck: followStuck,
		mutations: mutations, reaches: reaches,
	}.world()
}

// followBroken compares what the checkpoint says with the data beside it.
func followBroken(s followState) string {
	for i := range s.master.checkpoint {
		if s.visible&^s.master.clean&(1<<i) != 0 {
			return "L2 has an old value whose change lies before the checkpoint"
		}
	}
	return s.wrong
}

// followStuck looks at a world in which nothing more happens.
func followStuck(s followState) string {
	if s.visible&^s.master.clean != 0 && (!s.followers[0].gone || !s.followers[1].gone) {
		return "L2 has an old value, and nobody will delete it"
	}
	return ""
}

func followNext(s followState, off rule, to func(string, followState)) {
	t := s
	if s.log < s.changes {
		t.log++
		to("a change is in the log", t)
	}
	for i := range s.log {
		if t = s; s.visible&(1<<i) == 0 {
			t.visible |= 1 << i
			to("a change is visible", t)
			t = s
			t.master.clean &^= 1 << i
			to("a read fills", t) // with the old row
		}
	}
	t = s
	t.replica = s.master
	to("replication", t)
	if t = s; s.failovers > 0 {
		t.failovers--
		t.reign++
		t.master = s.replica
		to("failover", t)
	}
	for i, who := range []string{"follower 1", "follower 2"} {
		if !s.followers[i].gone {
			followStep(s, off, i, who, to)
		}
	}
}

// followStep is session.run: open, take, invalidate, advance; idle; ack; crash.
func followStep(s followState, off rule, i int, who string, to func(string, followState)) {
	t := s
	f := &t.followers[i]
	switch f.pc {
	case followOpen:
		f.pc, f.position, f.reign = followIdle, s.master.checkpoint, s.reign
		if f.position == 0 {
			f.position = s.acked // no checkpoint: where the source was acknowledged, and nobody knows for whom
			f.uncovered = off != followNoFlush
		}
		if f.position < s.acked {
			t.wrong = "the source can't go back to the checkpoint: all has to be flushed"
		}
		to(who+": opens at the checkpoint", t)
	case followIdle:
		followBeat(s, off, i, who, to)
		if u := s; f.uncovered { // session.cover
			u.followers[i].uncovered = false
			u.master.clean |= s.visible
			to(who+": idle, flushes", u)
		}
		if f.position < s.log && (s.visible&(1<<f.position) != 0 || off == followInvisible) {
			f.pc = followTaken
			to(who+": takes a change", t)
		}
	case followTaken:
		if off == followCheckpointFirst {
			followAdvance(s, off, i, who, to)
			return
		}
		f.pc = followApplied
		t.master.clean |= 1 << f.position
		if f.uncovered { // session.take
			f.uncovered = false
			t.master.clean |= s.visible
			to(who+": flushes and deletes", t)
			return
		}
		to(who+": deletes", t)
	case followApplied:
		if off == followCheckpointFirst {
			f.pc = followIdle
			t.master.clean |= 1 << (f.position - 1)
			to(who+": deletes", t)
			return
		}
		followAdvance(s, off, i, who, to)
	case followAsked:
		followMove(s, off, i, who, to)
	}
	if t = s; s.crashes > 0 {
		t.crashes--
		t.followers[i] = follower{gone: true}
		to(who+": dies", t)
	}
}

// followBeat is session.idle and ack.
func followBeat(s followState, off rule, i int, who string, to func(string, followState)) {
	t := s
	f := &t.followers[i]
	moved := s.master.checkpoint != f.position && (s.master.checkpoint != 0 || f.position != s.acked)
	if off != followNoHeartbeat && (moved || !sameReign(f.reign, s.reign, off)) {
		f.pc = followOpen
		to(who+": idle, steps down", t)
		return
	}
	// The rewind window is longer than what a failover loses: the replica has what is acknowledged.
	due := f.position
	if off != followAckAtOnce {
		due = min(due, s.replica.checkpoint)
	}
	if off == followAckFirst && f.position < s.log {
		due = f.position + 1
	}
	if due > s.acked {
		t.acked = due
		to(who+": acknowledges upstream", t)
	}
}

func sameReign(noted, now uint8, off rule) bool {
	if off == followRunIDAlone {
		return noted%2 == now%2
	}
	return noted == now
}

// followAdvance is advance.lua, or its mutation that compares the server in a call before.
func followAdvance(s followState, off rule, i int, who string, to func(string, followState)) {
	t := s
	f := &t.followers[i]
	if off != followServerIgnored && !sameReign(f.reign, s.reign, off) {
		f.pc = followOpen
		to(who+": the checkpoint is refused", t)
		return
	}
	if off == followServerBefore {
		f.pc = followAsked
		to(who+": asks who serves", t)
		return
	}
	followMove(s, off, i, who, to)
}

func followMove(s followState, off rule, i int, who string, to func(string, followState)) {
	t := s
	f := &t.followers[i]
	from, at := f.position, s.master.checkpoint
	if at != from+1 && at != from && (at != 0 || from != s.acked) && off != followFromIgnored {
		f.pc = followOpen
		to(who+": the checkpoint is refused", t)
		return
	}
	t.master.checkpoint = from + 1
	u := t
	f.position = from + 1
	f.pc = followIdle
	if off == followCheckpointFirst {
		f.pc = followApplied
	}
	to(who+": the checkpoint moves", t)
	to(who+": the checkpoint moves, the answer gets lost", u) // and the client sends it again, perhaps elsewhere
}
