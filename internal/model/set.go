package main

// The world of Set (DESIGN section 4): a writer changes the row and stores its value, another writer changes the row too, the feed
// invalidates both changes in their order. Set's value was read, or written, before anybody noted anything: the snapshot
// (lease and tick) has to be from before that.

const (
	setSnapshotLate rule = iota + 1
	setOwnTickOnly
	setMarkerIgnored
)

type setState struct {
	key              leaseKey
	version, counter uint8
	table, acked     uint8

	set    struct{ pc, version, tick uint8 }
	other  bool  // the other writer has written
	follow uint8 // steps of the feed: three for each change
	tick   uint8 // of the invalidation under way
	reads  bool
	wrong  string
}

func setWorld() world {
	return model[setState]{
		name: "set", about: "Set beside another writer and the feed",
		next:   setNext,
		broken: func(s setState) string { return s.wrong },
		mutations: []mutation{
			{setSnapshotLate, "snapshot-before-write", "lease and tick of a Set are from before its write"},
			{setOwnTickOnly, "tick-before-write", "the tick of a Set is from before its write, not only its lease"},
			{setMarkerIgnored, "set-judged", "what a Set stored is judged as any value, whoever deleted its marker"},
		},
		reaches: []string{"set: stores", "set: is refused", "a read hits"},
	}.world()
}

func setNext(s setState, off rule, to func(string, setState)) {
	setWriter(s, off, to)
	setFollow(s, to)
	t := s
	if !s.other {
		t.other = true
		t.version++
		to("another writer: changes the row", t)
	}
	if s.key.kind == keyValue && (s.key.tick >= s.table || off == setMarkerIgnored) {
		t = s
		t.reads = true
		if s.key.version < s.acked {
			t.wrong = "a read that began after the acknowledgement got the value from before"
		}
		to("a read hits", t)
	}
}

func setWriter(s setState, off rule, to func(string, setState)) {
	t := s
	t.set.pc++
	switch {
	case s.set.pc == 0 && off == setSnapshotLate, s.set.pc == 1 && off != setSnapshotLate:
		t.version++
		t.set.version = t.version
		to("set: writes the row", t)
	case s.set.pc <= 1:
		if s.key.kind != keyEmpty {
			return
		}
		t.key = leaseKey{kind: keyMarker, token: 1}
		t.set.tick = s.counter
		to("set: takes the snapshot", t)
	case s.set.pc == 2:
		if off == setOwnTickOnly || off == setMarkerIgnored {
			t.set.tick = s.counter
		}
		if s.key.kind != keyMarker && off != setMarkerIgnored {
			to("set: is refused", t)
			return
		}
		t.key = leaseKey{kind: keyValue, token: 1, version: s.set.version, tick: t.set.tick}
		to("set: stores", t)
	}
}

// setFollow invalidates one change after the other: tick, key, table.
func setFollow(s setState, to func(string, setState)) {
	change := s.follow/3 + 1
	if change > s.version {
		return
	}
	t := s
	t.follow++
	switch s.follow % 3 {
	case 0:
		t.counter++
		t.tick = t.counter
		to("feed: takes a tick", t)
	case 1:
		to("feed: invalidates a tag, deletes nothing", t)
		t.key = leaseKey{}
		to("feed: deletes the key", t)
	case 2:
		t.table, t.acked = s.tick, change
		to("feed: raises the table's tick, acknowledges", t)
	}
}
