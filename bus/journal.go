package bus

import (
	"context"
	"crypto/rand"
	"crypto/sha1" // tells messages apart; nothing is kept secret by it
	_ "embed"     // the scripts
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/tandem-cache/tandem/internal/script"
)

var (
	//go:embed lua/head.lua
	headLua string
	//go:embed lua/publish.lua
	publishLua string
	//go:embed lua/replay.lua
	replayLua string

	// Both write to the head and the journal only, which are bounded, and so run while Redis is full.
	publishScript = script.NewBounded(script.Reign + headLua + publishLua + "return {lineage, n}")
	replayScript  = script.NewBounded(script.Reign + headLua + replayLua + "return {lineage, n, missing, mark, run and 1 or 0}")
)

// The journal keeps about journalMessages, or as many of the size of the last one as fit into journalBytes. A receiver that
// lags further behind starts anew.
const (
	journalMessages = 16384
	journalBytes    = 64 << 20
	replayMessages  = 128     // that one call replays
	replayBytes     = 1 << 20 // about
)

func journalCapacity(payload []byte) int {
	return min(journalMessages, max(replayMessages, journalBytes/(len(payload)+1)))
}

// Publish appends m to the journal and broadcasts it. nil means that both happened; after an error either may have.
func (b *Bus) Publish(ctx context.Context, m Message) error {
	payload, err := encode(m)
	if err != nil {
		return err
	}
	err = publishScript.Run(ctx, b.cfg.Client, b.headKeys(), newLineage(), b.key(""), payload, journalCapacity(payload)).Err()
	if err != nil {
		return fmt.Errorf("bus: publish: %w", err)
	}
	return nil
}

// A place is the number of a message in a lineage of the journal, and its mark.
//
// Numbers alone do not tell whether a pod has heard what a server has. Where the server's identity is not to be had:
//
//	1 messages 1 to 50; the server saves its data; messages 51 to 80, which this pod hears; the server dies
//	2 it comes back with 50; another pod publishes 51 to 110, of other contents
//	3 this pod, at 80: hears 81 to 110, and never 51 to 80
//
// A mark stands for all messages up to its number. Here the two servers' marks of 80 differ.
type place struct {
	lineage string
	n       uint64
	mark    uint64 // 0: not known
}

// markedBytes is how much of a payload goes into its mark, from the beginning: an invalidation's tick, which no other has, lies there.
const markedBytes = 1024

// next is the mark of the message that follows p. It is what head.lua makes of it; where that of p is not known, it is not either, and is
// learned with the next look at the head.
func (p place) next(payload []byte) uint64 {
	if p.mark == 0 && p.n > 0 {
		return 0
	}
	h := sha1.New()
	_, _ = fmt.Fprintf(h, "%d %d %s", p.mark, len(payload), payload[:min(len(payload), markedBytes)]) // a hash takes everything
	return binary.BigEndian.Uint64(h.Sum(nil)) >> 12                                                  // the first 13 digits in hex: Redis's numbers are exact to 53 bits
}

// isAt reports whether p and q, which have the same lineage and number, stand for the same messages, as far as that is known.
func (p place) isAt(q place) bool { return p.mark == q.mark || p.mark == 0 || q.mark == 0 }

// after reads the head, and messages that follow from in its lineage, oldest first. It makes a lineage where there is none, so
// that the first message of a cache is no gap to those who listen.
func (b *Bus) after(ctx context.Context, from place) (head place, missing []frame, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.turn())
	defer cancel()
	reply, err := replayScript.Run(ctx, b.cfg.Client, b.headKeys(),
		newLineage(), from.lineage, from.n, from.mark, replayMessages, replayBytes).Slice()
	if err == nil && len(reply) != 5 {
		err = fmt.Errorf("%w: an answer of %d parts", errUnreadable, len(reply))
	}
	if err != nil {
		return place{}, nil, fmt.Errorf("bus: read the journal: %w", err)
	}
	head.lineage, _ = reply[0].(string)
	n, _ := reply[1].(int64)
	head.n = uint64(n)
	entries, _ := reply[2].([]any)
	mark, _ := reply[3].(string)
	head.mark, _ = strconv.ParseUint(mark, 10, 64) // else not known
	identified, _ := reply[4].(int64)
	b.noteBlind(identified == 0)
	for _, entry := range entries {
		f, err := parseEntry(entry)
		if err != nil {
			return place{}, nil, err
		}
		f.lineage = head.lineage
		missing = append(missing, f)
	}
	return head, missing, nil
}

// noteBlind logs when the server begins, or ceases, to keep its identity from this user.
func (b *Bus) noteBlind(blind bool) {
	switch was := b.blind.Swap(blind); {
	case blind && !was:
		b.cfg.Logger.Warn("bus: the user of Redis may not run INFO: each new subscription empties L1; grant it +info", "cache", b.cfg.Name)
	case was && !blind:
		b.cfg.Logger.Info("bus: Redis tells who it is", "cache", b.cfg.Name)
	}
}

// parseEntry reads a message of the journal: [number, mark, payload].
func parseEntry(entry any) (f frame, err error) {
	parts, _ := entry.([]any)
	if len(parts) != 3 {
		return frame{}, fmt.Errorf("%w: an entry of the journal is %T", errUnreadable, entry)
	}
	number, _ := parts[0].(string)
	mark, _ := parts[1].(string)
	payload, _ := parts[2].(string)
	if f.n, err = strconv.ParseUint(number, 10, 64); err != nil {
		return frame{}, fmt.Errorf("%w: entry %.128q of the journal", errUnreadable, number)
	}
	f.mark, _ = strconv.ParseUint(mark, 10, 64)
	f.payload = []byte(payload)
	return f, nil
}

func (b *Bus) headKeys() []string { return []string{b.key(":head"), b.key(":journal")} }

func newLineage() string {
	var b [lineageLen / 2]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
