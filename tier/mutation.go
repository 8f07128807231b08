package tier

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/tandem-cache/tandem/local"
)

// noteOriginal keeps the payload of an entry's value, for checkUnchanged. Nobody else has e yet.
func (sp *space) noteOriginal(e *local.Entry, payload []byte) {
	if sp.cache.cfg.DetectMutation {
		addExtra(e).original = bytes.Clone(payload) // a codec may return the value's own memory
	}
}

// checkUnchanged panics if the value of e is not what it was. It compares what comes back from the bytes of then and of now, since the
// bytes may differ without a change: maps are encoded in any order.
func (sp *space) checkUnchanged(e *local.Entry) {
	x := extraOf(e)
	if x == nil || x.original == nil {
		return
	}
	if !sp.unchanged(e.Value, x.original) {
		panic(fmt.Sprintf("tier: the value of %q was changed by a caller of Get: readers share it. Copy it before you change it, or set SpaceConfig.Clone", sp.key(e.ID)))
	}
}

func (sp *space) unchanged(value any, original []byte) bool {
	payload, err := sp.encode(value)
	if err != nil {
		return false // it was encoded before
	}
	if bytes.Equal(payload, original) {
		return true
	}
	before, errBefore := sp.decode(original)
	again, errAgain := sp.decode(original)
	now, errNow := sp.decode(payload)
	if errBefore != nil || errAgain != nil || !reflect.DeepEqual(before, again) {
		return true // what can't be compared with itself (NaN, a codec that only writes) shows no change
	}
	return errNow == nil && reflect.DeepEqual(before, now)
}
