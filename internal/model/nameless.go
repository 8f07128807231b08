package main

// The world of remote/checkpoint.go and remote/lua/witness.lua: a follower whose user may not run INFO, and two servers that don't tell who
// they are. A script that only its maker can have run tells a server's process, a string that only a process can have in that form tells
// its data. Two changes are to be followed; what a server has of them is what was deleted there.

const (
	namelessAnywhere rule = iota + 1
	namelessScriptAlone
	namelessStringAlone
	namelessSentTwice
	namelessReadKeeps
)

const (
	namelessOpen  uint8 = iota // the checkpoint is to be read
	namelessAgain              // the answer to a new witness was lost: the client sends the command again
	namelessIdle
	namelessApplied // the change after position is deleted
)

// A namelessServer is a process and its data.
type namelessServer struct {
	scripts           uint8 // mask of tokens whose script was run here
	clean, checkpoint uint8
	witness           uint8 // the token in the string
	raw               bool  // the string was made by commands, not loaded
}

type namelessState struct {
	servers   [2]namelessServer
	master    uint8
	linked    bool // the other server follows it, and has synchronised
	dump      namelessServer
	failovers uint8
	restarts  uint8
	lost      uint8 // answers that the network may lose
	tokens    uint8

	pc, position, token uint8 // of the follower
}

func namelessWorld() world {
	return model[namelessState]{
		name: "nameless", about: "a follower without INFO: two failovers that lose writes, a restart from a dump, a retry elsewhere",
		start: namelessState{linked: true, failovers: 2, restarts: 1, lost: 1},
		next:  namelessNext,
		broken: func(s namelessState) string {
			m := s.servers[s.master]
			if m.clean&(1<<m.checkpoint-1) != 1<<m.checkpoint-1 {
				return "L2 has an old value whose change lies before the checkpoint"
			}
			return ""
		},
		stuck: func(s namelessState) string {
			if s.servers[s.master].checkpoint != 2 {
				return "the checkpoint does not move"
			}
			return ""
		},
		mutations: []mutation{
			{namelessAnywhere, "witness", "the checkpoint moves only where the follower's witness is known"},
			{namelessScriptAlone, "loaded", "a server that has loaded another's data is another, though it knows the script"},
			{namelessStringAlone, "process", "a server that has not run the script is another, though its data have the string"},
			{namelessSentTwice, "sent-twice", "a witness is another each time that it is sent"},
			{namelessReadKeeps, "anew", "where the witness does not stand, who reads the checkpoint makes another"},
		},
		reaches: []string{"the checkpoint moves", "the checkpoint is refused", "the answer gets lost", "idle, steps down", "another data set is loaded", "restart"},
	}.world()
}

func namelessNext(s namelessState, off rule, to func(string, namelessState)) {
	namelessServers(s, to)
	m := s.servers[s.master]
	t := s
	switch s.pc {
	case namelessOpen, namelessAgain:
		if s.pc == namelessOpen && (s.stands(off) || off == namelessReadKeeps && m.scripts&(1<<s.token) != 0 && s.token > 0) {
			t.pc, t.position = namelessIdle, m.checkpoint
			if off == namelessReadKeeps { // the same token for whatever is there now
				t.servers[s.master].witness, t.servers[s.master].raw = s.token, true
			}
			to("the checkpoint is read", t)
			return
		}
		namelessMake(s, off, to)
	case namelessIdle:
		if !s.stands(off) || m.checkpoint != s.position { // session.compare
			if off == namelessReadKeeps && m.scripts&(1<<s.token) != 0 && m.checkpoint == s.position {
				t.servers[s.master].witness, t.servers[s.master].raw = s.token, true
				to("idle, reads the checkpoint", t)
			} else {
				t.pc = namelessOpen
				to("idle, steps down", t)
			}
		}
		if t = s; s.position < 2 {
			t.servers[s.master].clean |= 1 << s.position
			t.pc = namelessApplied
			to("deletes", t)
		}
	case namelessApplied:
		if off == namelessReadKeeps && m.scripts&(1<<s.token) != 0 && m.checkpoint == s.position && !s.stands(off) {
			t.servers[s.master].witness, t.servers[s.master].raw = s.token, true // by session.compare, or a second follower of this pod
			to("the checkpoint is read beside", t)
			t = s
		}
		if !s.stands(off) || m.checkpoint != s.position && m.checkpoint != s.position+1 {
			t.pc = namelessOpen
			to("the checkpoint is refused", t)
			return
		}
		t.servers[s.master].checkpoint = s.position + 1
		u := t
		t.pc, t.position = namelessIdle, s.position+1
		to("the checkpoint moves", t)
		if u.lost > 0 {
			u.lost--
			to("the checkpoint moves, the answer gets lost", u)
		}
	}
}

// stands is the condition of witness.lua, and that the server knows the script at all.
func (s namelessState) stands(off rule) bool {
	m := s.servers[s.master]
	script := m.scripts&(1<<s.token) != 0
	written := m.witness == s.token
	switch off {
	case namelessAnywhere:
		return s.token > 0
	case namelessScriptAlone:
		return s.token > 0 && script
	case namelessStringAlone:
		return s.token > 0 && written && m.raw
	}
	return s.token > 0 && script && written && m.raw
}

// namelessMake is Store.witness where there is none yet: the script is sent with a new token.
func namelessMake(s namelessState, off rule, to func(string, namelessState)) {
	t := s
	if s.pc == namelessOpen || off != namelessSentTwice {
		if s.tokens == 7 {
			return
		}
		t.tokens++
		t.token = t.tokens
	}
	m := &t.servers[s.master]
	m.scripts |= 1 << t.token
	m.witness, m.raw = t.token, true
	u := t
	t.pc, t.position = namelessIdle, m.checkpoint
	to("a witness is made", t)
	if u.lost > 0 {
		u.lost--
		u.pc = namelessAgain
		to("the answer gets lost", u)
	}
}

// namelessServers is replication, failover and restart.
func namelessServers(s namelessState, to func(string, namelessState)) {
	t := s
	other := 1 - s.master
	data := s.servers[s.master]
	data.scripts = s.servers[other].scripts
	if s.linked && s.servers[other].witness == data.witness {
		data.raw = s.servers[other].raw // no command came that made it anew
	}
	if t.servers[other] = data; s.linked { // the commands, one after the other
		to("replication", t)
	} else { // a dump of all
		t.servers[other].raw = false
		t.linked = true
		to("another data set is loaded", t)
	}
	if t = s; s.failovers > 0 && s.linked {
		t.failovers--
		t.master, t.linked = other, false
		to("failover", t)
	}
	if t = s; s.restarts > 0 {
		t.dump = s.servers[s.master]
		t.dump.scripts, t.dump.raw = 0, false
		to("the server saves", t)
		t = s
		t.restarts--
		t.servers[s.master], t.linked = s.dump, false
		to("restart", t)
	}
}
