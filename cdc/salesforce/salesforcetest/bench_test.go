package salesforcetest_test

import (
	"testing"

	"github.com/tandem-cache/tandem/cdc/salesforce/salesforcetest"
)

// One operation is a topic of 10,000 events, read from its start.
func BenchmarkSubscribe(b *testing.B) {
	s := start(b, salesforcetest.Options{})
	c := connect(b, s)
	const events = 10_000
	publish(b, s, events)
	for b.Loop() {
		st := c.subscribe(earliest(orders, 100))
		for left := events; left > 0; {
			n := len(st.next().GetEvents())
			left -= n
			st.request(more(int32(n)))
		}
		_ = st.CloseSend()
	}
	b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
}

// One operation is one change that becomes an event.
func BenchmarkChange(b *testing.B) {
	s := start(b, salesforcetest.Options{})
	for b.Loop() {
		publish(b, s, 1)
	}
}
