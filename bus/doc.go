// Package bus broadcasts to every pod of a cache over Redis pub/sub.
//
//	b := bus.Open(bus.Config{Client: rdb, Name: "storefront", Handler: h})
//	err := b.Publish(ctx, bus.Message{Kind: bus.Invalidate, Tick: tick, Names: names}) // numbered, in the journal
//	err = b.Notify(ctx, bus.Message{Kind: bus.Filled, Names: keys})                    // may get lost
//	defer b.Close(ctx)
//
// # Promises
//
//   - Published messages are numbered without holes and handed over in their order, each once, as long as the journal reaches
//     back to the last one that the receiver had. Where it does not, the receiver is told, by Handler.Resync, before the next.
//   - After Handler.Fresh(t), whatever was published before t was handed over or made good by a Resync. It is called every third
//     of MaxStaleness while the journal can be read, also if pub/sub loses everything.
//   - Publish returns nil only when the message is in the journal and was handed to Redis's pub/sub.
//   - A receiver that lags holds up nobody: its messages wait in a queue of its own, then in Redis, which cuts it off at its
//     client-output-buffer-limit; then it reads the journal.
//   - Two goroutines a bus; Close waits for them.
//
// # What it does not do
//
// Notices are not numbered, and lost to who does not listen: what rests on one needs a clock beside it.
//
// # Bytes
//
// For a cache named storefront, on the channel storefront:{bus}: a numbered message is "J1", 16 hex digits of lineage, the
// number in decimal, a space, the payload; a notice is "N1" and the payload. The journal is the stream
// storefront:{bus}:journal with the number as id and the field p; the head is the hash storefront:{bus}:head {lineage, n, run}.
// The payload is at [Message].
package bus
