package salesforce_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-cache/tandem/cdc/salesforce"
)

const unknown = time.Duration(-1)

func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p *salesforce.Progress
		ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
		want := func(what string, want time.Duration) {
			t.Helper()
			lag, known := p.Lag()
			if !known {
				lag = unknown
			}
			if lag != want {
				t.Errorf("%s: lag %s; want %s", what, lag, want)
			}
		}

		p = new(salesforce.Progress)
		want("not subscribed yet", unknown)
		p.Subscribed(true)
		time.Sleep(time.Minute)
		want("at the end, and nothing heard", unknown)
		p.Response(time.Time{})
		want("an empty response", 0)
		p.Waits = ago(3 * time.Second)
		p.Response(p.Waits)
		want("an event waits", 3*time.Second)
		p.Waits = time.Time{}
		want("it was taken, and had come in time", 0)

		p.Response(ago(time.Hour))
		want("a late event came, and was taken", time.Hour)
		time.Sleep(4 * time.Second)
		want("nothing came for a while", time.Hour+4*time.Second)
		time.Sleep(time.Second)
		want("nothing came for so long that there is nothing", 0)
		p.Response(ago(time.Hour))
		p.Response(time.Time{})
		want("an empty response after a late event", 0)
		p.Response(ago(time.Hour))
		p.Response(ago(time.Second))
		want("an event in time after a late one", 0)

		p.Response(ago(time.Second))
		p.Waits = ago(time.Second)
		p.Parked(ago(time.Second))
		time.Sleep(time.Minute)
		want("parked", 61*time.Second)
		p.Waits = time.Time{}
		want("parked, and all was taken", 61*time.Second)
		p.Subscribed(false)
		want("subscribed again", 61*time.Second)
		time.Sleep(5 * time.Second)
		want("and nothing came", 0)

		p.Received()
		time.Sleep(time.Minute)
		want("a response is being decoded", time.Minute)
		p.Response(ago(time.Second))
		want("it was decoded, and all was taken", 0)
		p.Response(ago(time.Hour))
		p.Received()
		want("another is being decoded in a backlog", time.Hour)
		p.Response(ago(time.Second))

		p.Subscribed(true)
		want("the place was lost", unknown)
		time.Sleep(time.Minute)
		want("the place was lost a minute ago", unknown)
		p.Response(ago(time.Second))
		want("events after it", 0)
		p.End()
		want("the end", unknown)

		p = new(salesforce.Progress)
		p.Subscribed(false)
		time.Sleep(5*time.Second - time.Nanosecond)
		want("resumed, and nothing heard", unknown)
		time.Sleep(time.Nanosecond)
		want("resumed, and nothing heard for so long that there is nothing", 0)

		p = new(salesforce.Progress)
		p.Subscribed(false)
		p.Response(ago(time.Second))
		want("resumed, and an event came", 0)
		p.Waits = ago(-time.Minute)
		want("an event waits that a clock ahead committed", 1)
	})
}
