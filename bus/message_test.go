package bus

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "write the golden files")

func goldenMessages() []Message {
	return []Message{
		{Kind: Invalidate, Tick: 1763461800000001, Origin: "orders-feed", Names: []string{"k:orders:account:acc_001", "t:product:42"}},
		{Kind: Filled, Names: []string{"orders:account:acc_001"}},
		{Kind: Feed, Status: &FeedStatus{Feed: "orders-feed", Connected: true, Position: "16/B374D848", CommittedMS: 1763461800000, LagMS: 12, Counts: map[string]uint64{"rewinds": 2}}},
		{Kind: Feed, Status: &FeedStatus{Feed: "orders-feed", Problem: "no route to host", Counts: map[string]uint64{}}},
		{Kind: Routes, Origin: "orders-feed", Names: []string{"k:orders:account", "t:product"}},
		{Kind: Feed, Status: &FeedStatus{Feed: "orders-feed", Connected: true, Warnings: []string{"no route for public.audit"}, Counts: map[string]uint64{}}},
		{Kind: Feed, Status: &FeedStatus{Feed: "orders-feed", Problem: "another source", Refused: true, Counts: map[string]uint64{}}},
	}
}

// The bytes are what other pods, older and newer, read: they do not change.
func TestMessageBytes(t *testing.T) {
	const file = "testdata/messages.v1.hex"
	var got strings.Builder
	for _, m := range goldenMessages() {
		b, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&got, "kind %d\n%s", m.Kind, hex.Dump(b))
		back, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, back, cmpopts.IgnoreUnexported(Message{}, FeedStatus{})); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("bytes differ (-want +got):\n%s", diff)
	}
}

func TestFrames(t *testing.T) {
	const lineage = "0123456789abcdef"
	for raw, want := range map[string]frame{
		"N1payload":                       {payload: []byte("payload")},
		"N1":                              {payload: []byte{}},
		"J1" + lineage + "12 a payload":   {lineage: lineage, n: 12, payload: []byte("a payload")},
		"J1" + lineage + "9007199254740 ": {lineage: lineage, n: 9007199254740, payload: []byte{}},
	} {
		got, err := parseFrame([]byte(raw))
		if err != nil {
			t.Errorf("%q: %v", raw, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(frame{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", raw, diff)
		}
	}
	for _, raw := range []string{"", "J", "J2" + lineage + "1 x", "J1" + lineage, "J1" + lineage + "1", "J1" + lineage + "0 x", "J1" + lineage + "x y", "J1short 1 x"} {
		if f, err := parseFrame([]byte(raw)); !errors.Is(err, errUnreadable) {
			t.Errorf("%q: got %+v, %v; want it unreadable", raw, f, err)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range goldenMessages() {
		b, err := encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append([]byte("N1"), b...))
		f.Add(append([]byte("J10123456789abcdef7 "), b...))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		fr, err := parseFrame(raw)
		if err != nil {
			return
		}
		m, err := decode(fr.payload)
		if err != nil {
			return
		}
		if _, err := encode(m); err != nil {
			t.Fatalf("what was read does not write: %v", err)
		}
	})
}

// Sentences travel as counts, so that a pod which knows nothing of them reads the rest; several keep their order.
func TestSentencesTravelAsCounts(t *testing.T) {
	want := FeedStatus{Feed: "f", Problem: "cut off", Warnings: []string{"z", "a", "m"}, Counts: map[string]uint64{"rewinds": 2}}
	b, err := encode(Message{Kind: Feed, Status: &want})
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got.Status, cmpopts.IgnoreUnexported(FeedStatus{})); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if len(want.Counts) != 1 {
		t.Errorf("encoding changed the sender's counts: %v", want.Counts)
	}
}
