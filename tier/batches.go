package tier

import (
	"iter"
	"sync/atomic"
)

const (
	maxBatch     = 512     // identifiers that share a call of LoadMany, and at most a call to Redis. More are several batches, at once
	maxFillBytes = 1 << 20 // of values that one call stores
	maxReadBytes = 2 << 20 // of values that one call should bring
	maxJudged    = 4096    // names that one call asks of Redis's table
	firstRead    = 8       // values asked for at once while their size is unknown, and the factor from call to call while it stays so
)

// batches yields all in their order, in runs whose sizes sum up to at most limit. One that is larger is alone.
func batches[T any](all []T, limit int, size func(T) int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		start, sum := 0, 0
		for i, one := range all {
			n := size(one)
			if i > start && sum+n > limit {
				if !yield(all[start:i:i]) {
					return
				}
				start, sum = i, 0
			}
			sum += n
		}
		if start < len(all) {
			yield(all[start:])
		}
	}
}

// A meanSize is a running mean of the sizes in bytes of a space's values in L2, over about the last 16. Of two noted at once one may get lost.
type meanSize struct {
	bytes atomic.Int64 // 0: unknown
}

func (m *meanSize) note(size int) {
	mean := m.bytes.Load()
	if mean == 0 {
		mean = int64(size)
	}
	m.bytes.Store(max(1, mean+(int64(size)-mean)/16))
}

// forget is for a call that failed: it may have brought too much.
func (m *meanSize) forget() { m.bytes.Store(0) }

// expected is what one value takes; while that is unknown, firstRead of them fill a call.
func (m *meanSize) expected() int {
	if mean := m.bytes.Load(); mean > 0 {
		return int(mean)
	}
	return maxReadBytes / firstRead
}

// perCall is how many values a call should ask for: 1 to maxBatch, or unknown.
func (m *meanSize) perCall(unknown int) int {
	if mean := m.bytes.Load(); mean > 0 {
		unknown = int(maxReadBytes / mean)
	}
	return min(max(unknown, 1), maxBatch)
}
