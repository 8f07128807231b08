package tier

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// String says it in some lines of plain words, the newest facts with their age.
func (e Explanation) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s, %s: asked of pod %s at %s", e.Key, e.Strategy, e.Pod, timestamp(e.At))
	if !e.Trusted {
		line("pod: not trusted: it cannot prove that it has heard everything, so its L1 does not answer")
	}
	if e.Fallback {
		line("feed: silent: entries are good for FallbackTTL after they were read")
	}
	if e.Loading {
		line("pod: a read of L2 or the source is under way here")
	}
	line("L1: %s", e.L1.describe(nothing))
	e.L1.tell(line)
	if e.L2 == nil {
		line("L2: none configured")
	} else {
		e.L2.tellRemote(line)
	}
	if i := e.LastInvalidation; i == nil {
		line("last invalidation: none known of any of its names")
	} else {
		line("last invalidation: %s", i.describe(e.At))
	}
	if r := e.LastRead; r == nil {
		line("last read beyond L1: none remembered on this pod")
	} else {
		line("last read beyond L1: %s", r.describe(e.At, e.L2 != nil))
	}
	return b.String()
}

const nothing = "nothing"

// describe is a copy in one line; none is for a tier without one.
func (c Copy) describe(none string) string {
	if !c.Held {
		return none
	}
	what := "a value"
	if c.Absent {
		what = "that the source has none"
	}
	verdict := "valid"
	if !c.Valid {
		verdict = "not used: " + cmp.Or(whyTexts[c.Why], c.Why)
	}
	life := "no TTL"
	if c.TTLSeconds > 0 {
		life = span(c.TTLSeconds) + " left"
	}
	if c.Why == reasonTexts[reasonUnreadable] {
		return fmt.Sprintf("%s, %s, %d bytes", what, verdict, c.Bytes)
	}
	return fmt.Sprintf("%s, %s, %s old, %s, %d bytes", what, verdict, span(c.AgeSeconds), life, c.Bytes)
}

// whyTexts are the reasons of a Copy, for people.
var whyTexts = map[string]string{
	reasonTexts[reasonInvalidated]: "invalidated",
	reasonTexts[reasonExpired]:     "expired",
	reasonTexts[reasonSilent]:      "its feed is silent, and it is older than FallbackTTL",
	reasonTexts[reasonSchema]:      "of another schema version than this pod's space",
	reasonTexts[reasonUnreadable]:  "unreadable: no envelope, one of a newer version or codec, or a payload that does not decode",
	reasonTexts[reasonSealed]:      "it does not open: copied, altered, of an unknown encryption key, or not encrypted where keys are configured",
	whyUntrusted:                   "the pod is not trusted",
	whyFlushed:                     "L1 started anew after it was stored",
	whyUnknown:                     "this pod no longer knows whether it was invalidated, and asks Redis",
	whyUnasked:                     "Redis did not say whether it was invalidated",
}

// listedNames is how many names the text shows of a copy.
const listedNames = 8

// tell lists what outdates a copy, and what else it stands on.
func (c Copy) tell(line func(string, ...any)) {
	var rest []string
	for _, n := range c.Names {
		switch {
		case n.Invalidated > n.Tick && c.Valid:
			line("    %s stands at tick %d; Redis knows of an invalidation at %d that this pod has not heard: it will within MaxStaleness", n.Name, n.Tick, n.Invalidated)
		case n.Invalidated > n.Tick:
			line("    %s stands at tick %d and was invalidated at %d", n.Name, n.Tick, n.Invalidated)
		default:
			rest = append(rest, fmt.Sprintf("%s at %d", n.Name, n.Tick))
		}
	}
	if len(rest) == 0 {
		return
	}
	more := c.MoreNames + max(0, len(rest)-listedNames)
	text := strings.Join(rest[:min(len(rest), listedNames)], ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	line("    stands on %s", text)
}

func (c *RemoteCopy) tellRemote(line func(string, ...any)) {
	switch {
	case c.Error != "" && !c.Held:
		line("L2: unknown: %s", c.Error)
	case c.Lease != nil:
		line("L2: no value; %s", c.Lease.describe())
	default:
		line("L2: %s", c.describe(nothing))
	}
	if c.Codec != "" {
		line("    loaded by pod %s, codec %s, schema %d, encryption key %d", c.LoadedBy, c.Codec, c.Schema, c.KeyID)
	}
	if c.Held && c.Error != "" {
		line("    %s", c.Error)
	}
	if c.Floor > 0 && !c.Valid {
		line("    Redis's table of recent names knows nothing below tick %d", c.Floor)
	}
	c.tell(line)
	if c.LeftOut {
		line("    reads leave L2 out at present: Redis failed several times in a row")
	}
}

func (l *LeaseHeld) describe() string {
	who := "pod " + l.Pod
	if l.Here {
		who = "this pod"
	}
	text := fmt.Sprintf("%s loads it, its lease has %s left", who, span(l.LeftSeconds))
	if l.Waited {
		text += ", another load waits for it"
	}
	return text
}

func (i *LastInvalidation) describe(now time.Time) string {
	by := "by whom is not known any more"
	if i.Origin != "" {
		by = "by " + i.Origin
	}
	text := fmt.Sprintf("%s, %s, tick %d", i.Name, by, i.Tick)
	switch {
	case !i.At.IsZero():
		text += ", heard here " + ago(i.At, now)
	case !i.NotAfter.IsZero():
		text += ", not later than " + timestamp(i.NotAfter)
	}
	return text
}

func (r *LastRead) describe(now time.Time, leases bool) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case r.At.IsZero():
	case r.Error != "":
		add("%s, failed after %s: %s", ago(r.At, now), span(r.TookSeconds), r.Error)
	case r.Tier == TierL2:
		add("%s, a hit of L2 in %s", ago(r.At, now), span(r.TookSeconds))
	default:
		add("%s, a load in %s", ago(r.At, now), span(r.TookSeconds))
		if leases && r.Leased {
			add("with a lease")
		} else if leases {
			add("without a lease")
		}
	}
	if r.DeadInL2 != "" {
		add("what L2 had was of no use (%s)", r.DeadInL2)
	}
	if !r.At.IsZero() && r.Error == "" && !r.ShownByL1 {
		add("not kept in L1: outdated as it came, or the pod was not trusted")
	}
	if r.Refused != "" {
		add("refused to be stored %s (%s)", ago(r.RefusedAt, now), r.Refused)
	}
	return strings.Join(parts, "; ")
}

func ago(t, now time.Time) string { return fmt.Sprintf("%s (%s ago)", timestamp(t), round(now.Sub(t))) }

func span(seconds float64) string {
	return round(time.Duration(seconds * float64(time.Second))).String()
}

// round keeps about three digits.
func round(d time.Duration) time.Duration {
	switch {
	case d >= time.Hour:
		return d.Round(time.Minute)
	case d >= time.Minute:
		return d.Round(time.Second)
	}
	for unit := time.Second; unit >= time.Millisecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d.Round(time.Microsecond)
}
