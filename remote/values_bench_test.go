package remote_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tandem-cache/tandem/remote"
)

// benchSizes are encoded sizes, in bytes.
var benchSizes = []int{256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20}

// benchPayload is a list of orders of about size bytes in msgpack: names that repeat, numbers that don't.
func benchPayload(b *testing.B, size int) []byte {
	b.Helper()
	type line struct {
		SKU, Title string
		Count      int
		Cents      int64
	}
	type order struct {
		ID, Account, Status string
		Placed              int64
		Lines               []line
	}
	random := rand.New(rand.NewPCG(1, 2))
	titles := []string{"Espresso cup, white", "Kettle 1.7 l, steel", "Filter paper no. 4, 100 pieces", "Grinder, manual"}
	states := []string{"new", "paid", "shipped", "returned"}
	var orders []order
	for {
		payload, err := remote.MsgPack{}.Encode(orders)
		if err != nil {
			b.Fatal(err)
		}
		if len(payload) >= size {
			return payload[:size]
		}
		for range 1 + len(orders)/8 {
			o := order{
				ID: fmt.Sprintf("ord_%016x", random.Uint64()), Account: fmt.Sprintf("acc_%06d", random.IntN(1e6)),
				Status: states[random.IntN(len(states))], Placed: 1763461800 + random.Int64N(1e7),
			}
			for range 1 + random.IntN(4) {
				o.Lines = append(o.Lines, line{
					SKU: fmt.Sprintf("sku_%08x", random.Uint32()), Title: titles[random.IntN(len(titles))],
					Count: 1 + random.IntN(5), Cents: random.Int64N(1e5),
				})
			}
			orders = append(orders, o)
		}
	}
}

// BenchmarkPack is what a fill pays for compression and encryption, by the size of the encoded value. Ratio is what is left of it.
func BenchmarkPack(b *testing.B) {
	eachWay(b, func(b *testing.B, payload []byte, compress bool, ring *remote.Keyring) {
		stored := 0
		for b.Loop() {
			stored = len(pack(b, payload, compress, ring))
		}
		b.ReportMetric(float64(stored)/float64(len(payload)), "ratio")
	})
}

// BenchmarkUnpack is what a read of L2 pays.
func BenchmarkUnpack(b *testing.B) {
	eachWay(b, func(b *testing.B, payload []byte, compress bool, ring *remote.Keyring) {
		raw := pack(b, payload, compress, ring)
		for b.Loop() {
			e, err := remote.Decode(raw)
			if err != nil {
				b.Fatal(err)
			}
			if ring != nil {
				if err := ring.Open(e, goldenKey); err != nil {
					b.Fatal(err)
				}
			}
			if err := e.Decompress(len(payload)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func pack(b *testing.B, payload []byte, compress bool, ring *remote.Keyring) []byte {
	e := &remote.Envelope{Codec: "msgpack", Payload: payload, Names: []remote.Name{{Text: "e:order"}, {Text: "t:order:ord_1"}}}
	if compress {
		e.Compress()
	}
	if ring != nil {
		if err := ring.Seal(e, goldenKey); err != nil {
			b.Fatal(err)
		}
	}
	raw, err := e.AppendTo(nil)
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

func eachWay(b *testing.B, run func(b *testing.B, payload []byte, compress bool, ring *remote.Keyring)) {
	ring := newKeyring(b, 1, 1)
	for _, size := range benchSizes {
		payload := benchPayload(b, size)
		for _, way := range []struct {
			name     string
			compress bool
			ring     *remote.Keyring
		}{{"plain", false, nil}, {"compressed", true, nil}, {"encrypted", false, ring}, {"both", true, ring}} {
			b.Run(fmt.Sprintf("%s/bytes=%d", way.name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				run(b, payload, way.compress, way.ring)
			})
		}
	}
}
