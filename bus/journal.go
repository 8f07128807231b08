package bus

import (
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

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
	publishScript = script.NewBounded(headLua + publishLua + "return {lineage, n}")
	replayScript  = script.NewBounded(headLua + replayLua + "return {lineage, n, missing}")
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

// A place is the number of a message in a lineage of the journal.
type place struct {
	lineage string
	n       uint64
}

// after reads the head, and messages that follow from in its lineage, oldest first. It makes a lineage where there is none, so
// that the first message of a cache is no gap to those who listen.
func (b *Bus) after(ctx context.Context, from place) (head place, missing []frame, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.turn())
	defer cancel()
	reply, err := replayScript.Run(ctx, b.cfg.Client, b.headKeys(), newLineage(), from.lineage, from.n, replayMessages, replayBytes).Slice()
	if err != nil {
		return place{}, nil, fmt.Errorf("bus: read the journal: %w", err)
	}
	head.lineage, _ = reply[0].(string)
	n, _ := reply[1].(int64)
	head.n = uint64(n)
	entries, _ := reply[2].([]any)
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

// parseEntry reads an entry of the journal: [id, [field, payload]].
func parseEntry(entry any) (f frame, err error) {
	pair, _ := entry.([]any)
	if len(pair) != 2 {
		return frame{}, fmt.Errorf("%w: an entry of the journal is %T", errUnreadable, entry)
	}
	id, _ := pair[0].(string)
	fields, _ := pair[1].([]any)
	if len(fields) != 2 {
		return frame{}, fmt.Errorf("%w: entry %.128q of the journal", errUnreadable, id)
	}
	payload, _ := fields[1].(string)
	number, _, _ := strings.Cut(id, "-")
	if f.n, err = strconv.ParseUint(number, 10, 64); err != nil {
		return frame{}, fmt.Errorf("%w: entry %.128q of the journal", errUnreadable, id)
	}
	f.payload = []byte(payload)
	return f, nil
}

func (b *Bus) headKeys() []string { return []string{b.key(":head"), b.key(":journal")} }

func newLineage() string {
	var b [lineageLen / 2]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
