// Package bus broadcasts to every pod of a cache over Redis pub/sub.
//
//	b := bus.Open(bus.Config{Client: rdb, Name: "storefront", Handler: h})
//	err := b.Publish(ctx, bus.Message{Kind: bus.Invalidate, Tick: tick, Names: names}) // numbered, in the journal
//	err = b.Notify(ctx, bus.Message{Kind: bus.Filled, Names: keys})                    // may get lost
//	defer b.Close(ctx)
//
// # Promises
//
//   - Published messages are numbered without holes. A receiver that misses one is told, by Handler.Resync, before the next is
//     handed over.
//   - Between Down and the next Resync the receiver hears nothing; Resync is called after the subscription was confirmed, so
//     that whatever is published later is heard or told missing.
//   - Messages are handed over one at a time, in the order of their numbers within one subscription, some of them twice.
//   - Publish returns nil only when the message is in the journal and was handed to Redis's pub/sub.
//   - One goroutine a bus; Close waits for it.
//
// # What it does not do
//
// Pub/sub may lose the last messages before a silence without a trace; the next message shows the gap. Notices are not
// numbered: what rests on one needs a clock beside it.
//
// # Bytes
//
// For a cache named storefront, on the channel storefront:{bus}: a numbered message is "J1", 16 hex digits of lineage, the
// number in decimal, a space, the payload; a notice is "N1" and the payload. The journal is the stream
// storefront:{bus}:journal with the number as id and the field p; the head is the hash storefront:{bus}:head {lineage, n, run}.
// The payload is at [Message].
package bus
