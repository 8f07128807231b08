package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// snapshot is what pg_current_snapshot() said: which transactions a reader that
// starts later sees.
type snapshot struct {
	xmin, xmax uint64   // below xmin: all ended; from xmax on: none
	running    []uint64 // between the two, ascending
}

// parseSnapshot reads "xmin:xmax:xid,xid,…".
func parseSnapshot(s string) (snapshot, error) {
	bad := fmt.Errorf("postgres: snapshot %q: want xmin:xmax:xid,…", s)
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return snapshot{}, bad
	}
	var snap snapshot
	var err error
	if snap.xmin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return snapshot{}, bad
	}
	if snap.xmax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return snapshot{}, bad
	}
	for xid := range strings.SplitSeq(parts[2], ",") {
		if xid == "" {
			continue
		}
		id, err := strconv.ParseUint(xid, 10, 64)
		if err != nil {
			return snapshot{}, bad
		}
		snap.running = append(snap.running, id)
	}
	slices.Sort(snap.running)
	return snap, nil
}

// sees reports whether the transaction, which is known to have committed, is
// visible. The stream gives the lower 32 bits of its number; the full one is the
// one nearest to xmax, since no two live transactions are 2^31 apart.
func (s snapshot) sees(xid uint32) bool {
	full := s.xmax + uint64(int64(int32(xid-uint32(s.xmax))))
	if full < s.xmin {
		return true
	}
	_, running := slices.BinarySearch(s.running, full)
	return full < s.xmax && !running
}
