package main

// The worlds of bus/receive.go, bus/journal.go and bus/lua: one pod, two servers. Messages travel by pub/sub, where each may arrive
// late, out of order, or never, and lie in the journal of the server that published them. Time goes in steps; L1 is trusted until
// asOf + busStaleness. Of L1 and the table only this matters: which invalidations the pod has neither applied nor made good by a
// flush. A pod whose L1 answers must not miss one that was acknowledged busStaleness ago.

const (
	busAsOfLate rule = iota + 1
	busAlive
	busGapIgnored
	busTrimIgnored
	busLineageIgnored
	busRunIDAlone
	busNoDeadline
	busHeadBehind
	busHeadUnread
)

const (
	busStaleness = 2
	busMessages  = 2
)

// A busServer is what one Redis knows. Its journal holds those messages of its lineage that are in the mask.
type busServer struct {
	lineage, n uint8
	writer     uint8 // the reign in which the head was made
	journal    uint8 // mask of messages
}

type busState struct {
	now     uint8
	servers [2]busServer
	reigns  [2]uint8 // of each server: a start or a promotion makes a new one
	master  uint8
	linger  uint8 // 1 while the other server still takes the pod's commands
	split   uint8 // when that last was so, plus 1
	conn    uint8 // the server that answers the pod

	limits    busLimits
	published uint8
	lineages  uint8
	place     [busMessages]struct{ lineage, n, acked uint8 } // of each message
	flying    uint8                                          // messages of pub/sub that may still arrive
	missing   uint8                                          // messages published, neither applied nor made good

	lineage, n uint8 // the receiver's place
	until      uint8 // trusted before this
	probe      struct {
		pc, asOf, lineage, n, found, missing uint8
	}
}

// busLimits are how much of each fault is left.
type busLimits struct{ messages, failovers, trims, wipes, time uint8 }

func busWorld() world {
	return busModel("bus", "pub/sub that loses, delays and reorders; a journal that is trimmed or lost; silence",
		busLimits{messages: 2, trims: 1, wipes: 1, time: 4}, []mutation{
			{busAsOfLate, "p-before-head", "the time is noted before the head is read"},
			{busAlive, "head", "a subscription that lives proves nothing: freshness is the head's"},
			{busGapIgnored, "gap", "a message is applied only after the one before it"},
			{busTrimIgnored, "journal-hole", "what the journal has no more is made good by a flush"},
			{busLineageIgnored, "lineage", "numbers of another lineage say nothing"},
			{busNoDeadline, "deadline", "trust ends MaxStaleness after the last proof"},
			{busHeadUnread, "replay", "a pod is fresh when it has applied up to the head"},
		},
		[]string{"the pod applies a message", "probe: replays", "probe: resyncs", "probe: is fresh"})
}

func failoverWorld() world {
	return busModel("failover", "a promotion that loses writes, a lingering old master, and its promotion in turn",
		busLimits{messages: 2, failovers: 2, time: 3}, []mutation{
			{busRunIDAlone, "reign", "a server's identity is new with each promotion: its run id alone stays"},
			{busLineageIgnored, "lineage", "numbers of another lineage say nothing"},
			{busNoDeadline, "deadline", "trust ends MaxStaleness after the last proof"},
		},
		[]string{"the old master lingers", "the old master is fenced", "probe: resyncs", "probe: is fresh"})
}

func busModel(name, about string, limits busLimits, mutations []mutation, reaches []string) world {
	return model[busState]{
		name: name, about: about,
		start: busState{
			limits: limits, reigns: [2]uint8{1, 2}, lineages: 1, lineage: 1, until: busStaleness,
			servers: [2]busServer{{lineage: 1, writer: 1}, {lineage: 1, writer: 1}},
		},
		next: busNext, broken: busBroken, mutations: mutations, reaches: reaches,
	}.world()
}

func busBroken(s busState) string {
	if s.now >= s.until || s.linger == 1 || s.split != 0 && s.now < s.split-1+busStaleness {
		return ""
	}
	for i := range s.published {
		if s.missing&(1<<i) != 0 && s.now >= s.place[i].acked+busStaleness {
			return "L1 answers though an invalidation acknowledged MaxStaleness ago never reached it"
		}
	}
	return ""
}

func busNext(s busState, off rule, to func(string, busState)) {
	t := s
	if s.now < s.limits.time {
		t.now++
		to("time goes on", t)
	}
	if t = s; s.limits.messages > s.published {
		t.publish(off)
		to("an invalidation is published and acknowledged", t)
	}
	if t = s; s.limits.trims > 0 && s.servers[s.master].journal != 0 {
		t.limits.trims--
		journal := &t.servers[s.master].journal
		*journal &= *journal - 1
		to("the journal is trimmed", t)
	}
	if t = s; s.limits.wipes > 0 {
		t.limits.wipes--
		t.servers[s.master] = busServer{}
		to("FLUSHALL", t)
	}
	busServers(s, to)
	busReceive(s, off, to)
	busProbe(s, off, to)
}

// head is head.lua: it makes a lineage where the head is lost or of another reign.
func (s *busState) head(server uint8, off rule) *busServer {
	r := &s.servers[server]
	same := r.writer == s.reigns[server]
	if off == busRunIDAlone {
		same = r.writer%2 == s.reigns[server]%2 // reigns of one server are all odd or all even
	}
	if r.lineage == 0 || !same {
		s.lineages++
		*r = busServer{lineage: s.lineages, writer: s.reigns[server]}
	}
	return r
}

// publish is publish.lua.
func (s *busState) publish(off rule) {
	i := s.published
	s.published++
	r := s.head(s.master, off)
	r.n++
	r.journal |= 1 << i
	s.place[i].lineage, s.place[i].n, s.place[i].acked = r.lineage, r.n, s.now
	s.flying |= 1 << i
	s.missing |= 1 << i
}

// busServers is replication and failover.
func busServers(s busState, to func(string, busState)) {
	t := s
	other := 1 - s.master
	if s.limits.failovers == 0 && s.linger == 0 && s.conn == s.master {
		return
	}
	if s.linger == 0 {
		t.servers[other] = s.servers[s.master]
		to("replication", t)
	}
	if t = s; s.limits.failovers > 0 && s.linger == 0 {
		t.limits.failovers--
		t.master = other
		t.reigns[other] += 2
		u := t
		u.servers[s.master], u.conn = t.servers[other], other
		to("the replica is promoted, the old master demoted", u)
		if t.linger = 1; s.split == 0 {
			to("the old master lingers", t)
		}
	}
	if t = s; s.linger == 1 {
		t.linger, t.split = 0, s.now+1
		t.servers[other], t.conn = s.servers[s.master], s.master
		to("the old master is fenced", t)
		t = s
		t.conn = s.master
		to("the pod finds the new master", t)
	}
}

// busReceive is receiver.take.
func busReceive(s busState, off rule, to func(string, busState)) {
	for i := range s.published {
		if s.flying&(1<<i) == 0 {
			continue
		}
		t := s
		t.flying &^= 1 << i
		m := s.place[i]
		switch same := m.lineage == s.lineage || off == busLineageIgnored; {
		case same && m.n == s.n+1, same && m.n > s.n && off == busGapIgnored:
			t.n = m.n
			t.missing &^= 1 << i
			to("the pod applies a message", t)
		} // else it has had that one, or has a gap, and probes, as it may at any time
	}
}

// busProbe is receiver.catchUp: the time, the script, what it found.
func busProbe(s busState, off rule, to func(string, busState)) {
	t := s
	p := &t.probe
	switch s.probe.pc {
	case 0:
		p.pc, p.asOf = 1, s.now
		if off == busAlive {
			*p = busState{}.probe
			t.until = s.now + busStaleness
		}
		to("probe: begins", t)
	case 1:
		r := t.head(s.conn, off)
		p.pc, p.lineage, p.n, p.found = 2, r.lineage, r.n, r.journal
		p.missing = s.missing
		to("probe: the head is read", t)
	case 2:
		if off == busAsOfLate {
			p.asOf = s.now
		}
		busCaughtUp(t, off, to)
	}
}

func busCaughtUp(t busState, off rule, to func(string, busState)) {
	p := t.probe
	t.probe = busState{}.probe
	t.until = p.asOf + busStaleness
	if off == busNoDeadline {
		t.until = t.limits.time + 1
	}
	same := p.lineage == t.lineage || off == busLineageIgnored
	if same && p.n == t.n || same && t.n > p.n && off == busLineageIgnored || off == busHeadUnread && same {
		to("probe: is fresh", t)
		return
	}
	if same && p.n > t.n && t.replay(p.found, p.lineage, p.n, off) {
		to("probe: replays", t)
		return
	}
	t.lineage, t.n = p.lineage, p.n
	t.missing &^= p.missing
	to("probe: resyncs", t)
}

// replay hands over what the journal has after the receiver's place, up to n. False: it does not reach back.
func (s *busState) replay(journal, lineage, n uint8, off rule) bool {
	missing := s.missing
	for at := s.n + 1; at <= n; at++ {
		found := off == busTrimIgnored
		for i := range s.published {
			if journal&(1<<i) != 0 && s.place[i].lineage == lineage && s.place[i].n == at {
				missing &^= 1 << i
				found = true
			}
		}
		if !found {
			return false
		}
	}
	s.n, s.missing = n, missing
	return true
}
