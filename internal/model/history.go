package main

// The worlds of cdc/postgres/timeline.go and source.go's startAt: a primary and two standbys, loaders that read from the primary, a follower with a
// checkpoint. The log's entries are changes, each of another row; a place in the log is how many are before it. Each standby has a slot. Of
// the old primary nobody reads after a promotion.

const (
	historyPlaceAlone rule = iota + 1
	historyBeforeFork
	historyNumberAlone
	historyVisibleEarly
)

const historyLength = 2 // of each history's log

// A historyLog is one history: 0 is the first primary's, 1 and 2 are those that the standbys begin.
type historyLog struct{ number, begin, length uint8 }

// A historyPlace is a position.
type historyPlace struct{ number, begin, at uint8 }

type historyState struct {
	log      historyLog
	which    uint8    // history
	received [2]uint8 // of the first primary's log, by each standby
	sync     bool     // no commit is visible before both standbys have it, and the option says so
	rows     uint8    // mask of rows that have changed
	old, new uint8    // masks of rows whose value from before, and after, the change is cached

	position  historyPlace
	connected bool
}

func historyWorld() world {
	return historyModel("history", "a checkpoint of PostgreSQL, and two promotions of standbys that lack changes", false, []mutation{
		{historyPlaceAlone, "timeline", "a position is of one timeline: a place in the log alone may be another's"},
		{historyBeforeFork, "before-fork", "another timeline is a loss also where it parts after the position: what was read may have gone back"},
		{historyNumberAlone, "begin", "a timeline is its number and where it begins: two standbys give themselves the same number"},
	}, []string{"a standby is promoted", "the other standby is promoted", "the follower goes on", "the follower begins with a loss", "a change is taken"})
}

func historySyncWorld() world {
	return historyModel("sync", "the same with synchronous standbys, whose entries are kept", true, []mutation{
		{historyVisibleEarly, "visible-late", "entries are kept only where no commit is visible before the standbys have it"},
	}, []string{"a standby is promoted", "the follower goes on", "the follower goes on, on a younger timeline"})
}

func historyModel(name, about string, sync bool, mutations []mutation, reaches []string) world {
	return model[historyState]{
		name: name, about: about, start: historyState{log: historyLog{number: 1}, position: historyPlace{number: 1}, sync: sync},
		next: historyNext, broken: historyBroken, mutations: mutations, reaches: reaches,
	}.world()
}

// historyBroken looks when the follower has followed everything that there is.
func historyBroken(s historyState) string {
	if s.connected && s.position.at == s.log.length && (s.old&s.rows != 0 || s.new&^s.rows != 0) {
		return "a value is cached that is not in the source, and no event will name it"
	}
	return ""
}

// historyRow is the row that an entry of the present history changes.
func (s historyState) historyRow(at uint8) uint8 {
	if s.which > 0 && at < s.log.begin {
		return 1 << at // inherited
	}
	return 1 << (s.which*historyLength + at)
}

// visible is how far readers see the log.
func (s historyState) visible(off rule) uint8 {
	if s.which == 0 && s.sync && off != historyVisibleEarly {
		return min(s.received[0], s.received[1])
	}
	return s.log.length
}

func historyNext(s historyState, off rule, to func(string, historyState)) {
	t := s
	if s.log.length < historyLength {
		t.rows |= s.historyRow(s.log.length)
		t.log.length++
		to("a change is committed", t)
	}
	for at := range s.visible(off) { // as many rows have changed for a reader
		t = s
		row := s.historyRow(at)
		t.new |= row
		t.old &^= row
		to("a load caches a value from after a change", t)
	}
	for at := s.visible(off); at < historyLength; at++ {
		t = s
		t.old |= s.historyRow(at)
		to("a load caches a value from before a change", t)
	}
	for i := range s.received {
		if t = s; s.which == 0 && s.received[i] < s.log.length {
			t.received[i]++
			to("a standby receives a change", t)
		}
	}
	if s.which == 0 {
		s.promote(0, "a standby is promoted", to)
	}
	// Had both the same, nothing that the servers tell would be different. With synchronous standbys the first to be promoted shows nothing
	// that the other has not heard from it.
	if s.which == 1 && !s.sync && s.received[1] != s.log.begin {
		s.promote(1, "the other standby is promoted", to)
	}
	historyFollow(s, off, to)
}

// promote makes a standby, which has heard of the first primary alone, the primary.
func (s historyState) promote(i uint8, step string, to func(string, historyState)) {
	begin := s.received[i]
	s.which = i + 1
	s.log = historyLog{number: 2, begin: begin, length: begin}
	s.rows = 1<<begin - 1
	s.connected = false
	to(step, s)
}

// historyFollow is Source.startAt and the stream.
func historyFollow(s historyState, off rule, to func(string, historyState)) {
	t := s
	p := s.position
	here := historyPlace{number: s.log.number, begin: s.log.begin, at: p.at}
	switch {
	case !s.connected:
		t.connected = true
		t.position = here
		same := p == here || off == historyNumberAlone && p.number == s.log.number
		inherited := p.number == 1 && s.which > 0 && p.at <= s.log.begin // identity.has
		switch {
		case p.at > s.log.length:
		case same, off == historyPlaceAlone:
			to("the follower goes on", t)
			return
		case inherited && (s.sync || off == historyBeforeFork):
			to("the follower goes on, on a younger timeline", t)
			return
		}
		t.old, t.new = 0, 0
		t.position.at = min(p.at, s.log.begin) // where the slot was acknowledged
		to("the follower begins with a loss", t)
	case p.at < s.visible(off):
		t.position.at++
		row := s.historyRow(p.at)
		t.old &^= row
		t.new &^= row
		to("a change is taken", t)
	default:
	}
}
