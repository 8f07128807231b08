package bus

import (
	"sync"
	"time"

	"github.com/tandem-cache/tandem/internal/episode"
)

// Pub/sub counts as not heard when, since it brought a message in time, the journal has brought some in as many looks and over as long as this.
// A subscription that freezes once is found out after MaxStaleness, and the next one is heard: that is less.
const (
	unheardLooks = 3
	unheardTurns = 2 * probes // two MaxStaleness
)

// unheard knows since when pub/sub brings nothing that the journal does not bring before it. Neither a pong nor the confirmation of a
// subscription is taken for a sign that messages come. Nor is a notice: in a cluster it may come by another node than the numbered messages.
type unheard struct {
	mu       sync.Mutex // guards the fields below
	since    time.Time  // of the first look that found something; zero: pub/sub was heard after it
	looks    int
	messages uint64
	told     bool // it is not heard

	said episode.Episode
}

// Unheard returns since when messages come from the journal alone, and how many: pub/sub brings nothing, or everything too late, though a
// subscription may be confirmed and answer pings. It ends with the next message that pub/sub brings in time. Zero: it is heard, or there was
// no message.
func (b *Bus) Unheard() (since time.Time, messages uint64) {
	u := &b.unheard
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.told {
		return time.Time{}, 0
	}
	return u.since, u.messages
}

// replayed notes a look at the journal that found messages which pub/sub had not brought.
func (u *unheard) replayed(b *Bus, messages uint64) {
	if messages == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.since.IsZero() {
		u.since = time.Now()
	}
	u.looks++
	u.messages += messages
	lasts := time.Since(u.since)
	if u.looks < unheardLooks || lasts < unheardTurns*b.turn() {
		return
	}
	u.told = true
	if _, due := u.said.Fails(); due {
		b.cfg.Logger.Warn("bus: pub/sub brings nothing, messages come by the journal alone", "cache", b.cfg.Name, "for", lasts.Round(time.Millisecond).String(), "messages", u.messages)
	}
}

// heard notes a message that pub/sub brought in time: no later than the journal brought the one after it.
//
// Were any message taken for that, a pub/sub that is seconds late would count as heard. Were only those taken that come before the journal
// has them, one that works would be accused:
//
//  1. pod A publishes 7
//  2. the bus of pod B looks at the journal, and hands over 7
//  3. pub/sub brings 7 to B
func (u *unheard) heard(b *Bus) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.since.IsZero() {
		return
	}
	lasted, messages := time.Since(u.since), u.messages
	u.since, u.looks, u.messages, u.told = time.Time{}, 0, 0, false
	if _, was := u.said.Ends(); was {
		b.cfg.Logger.Info("bus: pub/sub is heard again", "cache", b.cfg.Name, "for", lasted.Round(time.Millisecond).String(), "messages", messages)
	}
}
