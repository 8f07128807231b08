package main

// The world of bus/journal.go's marks and receiver.begin: a pod whose user may not run INFO, or may not any more, and a Redis that forgets.
// A history is the messages that a server has published, as digits to the base 4; it stands for number and mark in one. The subscription brings in
// order all that its server publishes while it lives; the pod is told of its end when it ends.

const (
	marksNumbers rule = iota + 1
	marksSubscription
	marksUnsubscribed
	marksRevoked
	marksJournal
)

const (
	marksNone  uint8 = iota // no subscription
	marksBegun              // the server has it, the pod has not heard so
	marksLive
)

const marksMessages = 3

type marksHead struct {
	lineage, run uint8 // run 0: made without INFO
	history      uint16
}

type marksState struct {
	head, dump marksHead // of the server, and of the other one, or of its file
	reign      uint8
	info       bool // the users may run INFO
	forgets    uint8
	published  uint8
	lineages   uint8

	subscription uint8
	flying       uint16 // history of what it has not brought yet, last first
	unsaid       uint8  // messages in it

	placed  bool
	lineage uint8
	heard   uint16 // the receiver's history
	blind   bool   // as the pod was told last
	missing uint8  // mask of messages acknowledged, neither applied nor made good
	wrong   string
}

func marksWorld() world {
	return model[marksState]{
		name: "marks", about: "a pod without INFO, a Redis that forgets, subscriptions that end; the right to INFO is lost",
		start:  marksState{info: true, reign: 1, forgets: 2, lineages: 1, head: marksHead{lineage: 1, run: 1}, dump: marksHead{lineage: 1, run: 1}},
		next:   marksNext,
		broken: func(s marksState) string { return s.wrong },
		mutations: []mutation{
			{marksNumbers, "mark", "who has the number of a head has its messages only if the marks are the same"},
			{marksJournal, "mark-in-journal", "the journal leads on from a message only if its mark is the same"},
			{marksSubscription, "subscription", "without INFO each new subscription starts anew"},
			{marksUnsubscribed, "no-subscription", "without INFO and a subscription each look at the head starts anew"},
			{marksRevoked, "revoked", "so does the first look after the right to INFO was lost"},
		},
		reaches: []string{"the pod applies a message", "probe: replays", "probe: resyncs", "probe: is fresh", "Redis forgets", "Redis forgets, the subscription stays", "the right to INFO is lost"},
	}.world()
}

func marksLength(history uint16) (n uint8) {
	for ; history > 0; history >>= 2 {
		n++
	}
	return n
}

// made is head.lua.
func (s *marksState) made() *marksHead {
	if s.info && s.head.run != s.reign {
		s.lineages++
		s.head = marksHead{lineage: s.lineages, run: s.reign}
	}
	return &s.head
}

func marksNext(s marksState, off rule, to func(string, marksState)) {
	t := s
	if s.published < marksMessages {
		t.published++
		h := t.made()
		h.history = h.history<<2 | uint16(t.published)
		t.missing |= 1 << t.published
		if s.subscription != marksNone {
			t.unsaid++
			t.flying = t.flying<<2 | uint16(t.published)
		}
		to("a message is published and acknowledged", t)
	}
	if t = s; s.dump != s.head {
		t.dump = s.head
		to("replication", t)
	}
	if t = s; s.forgets > 0 {
		t.forgets--
		t.reign++
		t.head, t.dump = s.dump, s.head
		if s.unsaid == 0 {
			to("Redis forgets, the subscription stays", t) // demoted, filled from another, promoted
		}
		t.end()
		to("Redis forgets", t)
	}
	if t = s; s.info {
		t.info = false
		to("the right to INFO is lost", t)
	}
	switch s.subscription {
	case marksNone:
		t = s
		t.subscription = marksBegun
		to("a subscription begins", t)
	case marksBegun:
		t = s
		t.subscription = marksLive
		if s.blind && off != marksSubscription {
			t.placed = false
		}
		t.probe(off, to)
	default:
		if s.unsaid > 0 {
			marksTake(s, off, to)
		}
	}
	if t = s; s.subscription != marksNone {
		t.end()
		to("the subscription ends", t)
	}
	t = s
	t.probe(off, to)
}

func (s *marksState) end() { s.subscription, s.flying, s.unsaid = marksNone, 0, 0 }

// marksTake is receiver.take of what the subscription brings next. A message carries lineage and number; here that of the server it came from.
func marksTake(s marksState, off rule, to func(string, marksState)) {
	t := s
	t.unsaid--
	shift := 2 * t.unsaid
	message := s.flying >> shift & 3
	t.flying &= 1<<shift - 1
	number := marksNumber(s.head.history, s.dump.history, message)
	if s.placed && s.lineage == s.head.lineage && number == marksLength(s.heard)+1 {
		t.heard = s.heard<<2 | message
		t.missing &^= 1 << message
		to("the pod applies a message", t)
		return
	}
	t.probe(off, to) // it has it, or there is a gap
}

// marksNumber is the number under which a message was published: its place in the history that has it. 0: none has.
func marksNumber(a, b, message uint16) uint8 {
	for _, h := range []uint16{a, b} {
		for n := marksLength(h); n > 0; n-- {
			if h&3 == message {
				return n
			}
			h >>= 2
		}
	}
	return 0
}

// probe is receiver.catchUp.
func (s marksState) probe(off rule, to func(string, marksState)) {
	h := *s.made()
	knew := s.blind
	s.blind = !s.info
	if s.blind && (!knew && off != marksRevoked || s.subscription != marksLive && off != marksUnsubscribed) {
		s.placed = false
	}
	n, at := marksLength(h.history), marksLength(s.heard)
	leads := s.placed && h.lineage == s.lineage && n >= at
	if leads && n == at {
		leads = h.history == s.heard || off == marksNumbers
	}
	if leads && n > at {
		leads = h.history>>(2*(n-at)) == s.heard || off == marksJournal
	}
	step := "probe: is fresh"
	switch {
	case !leads:
		step = "probe: resyncs"
		s.missing = 0
	case n > at:
		step = "probe: replays"
		for i := at; i < n; i++ {
			s.missing &^= 1 << (h.history >> (2 * (n - 1 - i)) & 3)
		}
	}
	s.placed, s.lineage, s.heard = true, h.lineage, h.history
	if s.missing != 0 {
		s.wrong = "the pod is fresh, and has not heard what was acknowledged before"
	}
	to(step, s)
}
