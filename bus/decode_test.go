package bus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vmihailenco/msgpack/v5"
)

func someInvalidations() []Message {
	long := Message{Kind: Invalidate, Tick: 1, Origin: strings.Repeat("o", 64)}
	for i := range 512 { // lengths on both sides of what msgpack writes in one, two and three bytes
		long.Names = append(long.Names, "k:"+strings.Repeat("n", i*3))
	}
	return append([]Message{long, {Kind: Invalidate, Tick: 1 << 53, Names: []string{""}}}, goldenMessages()[0])
}

// What is published is read without msgpack, and as msgpack reads it.
func TestInvalidationsAreReadAsMsgpackDoes(t *testing.T) {
	for _, want := range someInvalidations() {
		payload, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := decodeInvalidation(payload)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Message{}, FeedStatus{})); !ok || diff != "" {
			t.Errorf("read: %v (-want +got):\n%s", ok, diff)
		}
		for n := 0; n < len(payload); n += 1 + len(payload)/100 {
			if _, ok := decodeInvalidation(payload[:n]); ok {
				t.Fatalf("the first %d of %d bytes were read as a message", n, len(payload))
			}
		}
		if _, ok := decodeInvalidation(append(payload, 0)); ok {
			t.Error("a byte too many was read")
		}
	}
}

// FuzzInvalidation: whatever is read without msgpack, msgpack reads the same.
func FuzzInvalidation(f *testing.F) {
	for _, m := range someInvalidations()[1:] {
		b, err := encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x95\x01\x02\xa0\xdc\x00\x01\xd9\x01a\xc0"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, ok := decodeInvalidation(payload)
		if !ok {
			return
		}
		var want Message
		if err := msgpack.Unmarshal(payload, &want); err != nil {
			t.Fatalf("msgpack refuses it: %v", err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Message{}, FeedStatus{})); diff != "" {
			t.Errorf("(-msgpack +got):\n%s", diff)
		}
	})
}

// BenchmarkDecode is what a pod pays to read a name of a batch.
func BenchmarkDecode(b *testing.B) {
	m := Message{Kind: Invalidate, Tick: 1 << 50, Origin: "items"}
	for i := range 500 {
		m.Names = append(m.Names, fmt.Sprintf("k:orders:account:acc_%07d", i))
	}
	payload, err := encode(m)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(payload); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/name")
}
