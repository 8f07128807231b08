package salesforcetest

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// Replay ids are a topic's era and a place on the bus. The place is scrambled, so that nobody who compares ids or counts on with them
// gets away with it.
const (
	idSize     = 10
	scramble   = 0x9e3779b97f4a7c15
	unscramble = 0xf1de83e19937733d // scramble × unscramble = 1, modulo 2^64
)

// maxMarks bounds what the bus remembers of its past; ids expire to the nearest of that many parts of the retention.
const maxMarks = 128

// bus counts the events of all topics and of all other orgs: the events of one topic have ever greater places, with holes between.
type bus struct {
	place     uint64
	retention time.Duration
	marks     []mark // oldest first
	floor     uint64 // places below it are too old
}

type mark struct {
	at    time.Time
	place uint64
}

func newBus(retention time.Duration) *bus {
	return &bus{place: 1_000_000 + rand.Uint64N(1_000_000), retention: retention}
}

// next takes a place; others took some before.
func (b *bus) next(now time.Time) uint64 {
	if n := len(b.marks); n == 0 || now.Sub(b.marks[n-1].at) >= b.retention/maxMarks {
		b.marks = append(b.marks, mark{now, b.place})
	}
	b.place += 1 + rand.Uint64N(8)
	return b.place
}

// expire returns the place below which ids are too old.
func (b *bus) expire(now time.Time) uint64 {
	for len(b.marks) > 0 && now.Sub(b.marks[0].at) > b.retention {
		b.floor = b.marks[0].place
		b.marks = b.marks[1:]
	}
	return b.floor
}

func newEra(not uint16) uint16 {
	for {
		if era := uint16(rand.Uint32()); era != not && era != 0 {
			return era
		}
	}
}

func replayID(era uint16, place uint64) []byte {
	id := make([]byte, 0, idSize)
	id = binary.BigEndian.AppendUint16(id, era)
	return binary.BigEndian.AppendUint64(id, place*scramble)
}

// placeOf returns what id was made of.
func placeOf(id []byte) (era uint16, place uint64, ok bool) {
	if len(id) != idSize {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(id), binary.BigEndian.Uint64(id[2:]) * unscramble, true
}
