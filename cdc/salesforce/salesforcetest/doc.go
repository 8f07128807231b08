// Package salesforcetest is an org of Salesforce inside the process: the part of the Pub/Sub API that a subscriber uses, and the logins
// that it needs, over real sockets of the loopback interface. It is for tests and demonstrations of programs that follow change events.
//
//	server, err := salesforcetest.Start(salesforcetest.Options{})
//	defer server.Close()
//	err = server.AddEntity(salesforcetest.Entity{Name: "Order", Fields: []salesforcetest.Field{{Name: "Status"}}})
//	source, err := salesforce.NewSource(server.Config("/data/OrderChangeEvent"))
//	…
//	_, err = server.Change(salesforcetest.Change{
//		Entity: "Order", Type: "UPDATE", IDs: []string{"801000000000001AAA"}, Fields: map[string]any{"Status": "Shipped"},
//	})
//
// What holds:
//
//   - Every call needs the three headers accesstoken, instanceurl and tenantid. A stream outlives its token; no other call does.
//   - A subscription gets what it asked for and no more: at most 100 events are outstanding, a response has a largest size, an empty one
//     comes as keepalive, and a stream that asks for nothing for a minute is closed.
//   - Replay ids are opaque and not contiguous, since other orgs share the bus. One that is too old, or that another topic gave, is
//     refused as corrupted. So is a stream that falls behind what is retained, rather than being served with a hole.
//   - Errors come as the service's: a status, the trailers error-code and rpc-id, and a message that ends with "rpcId: …".
//   - Events and schemas are Avro: each field a union with null, compound fields as records, bitmaps of changed fields.
//   - A topic keeps a bounded number of events, and drops the oldest.
//
// It is written from what is published about the service and has never been compared with a live org. Where nothing is published it
// guesses: the gRPC status that goes with an error code, the code for a schema id that doesn't exist, and that a stream which asked for
// nothing ends without an error.
//
// All methods of Server may be called from any goroutine. A fault (an expired token, a silent topic, a server that is down) lasts until
// it is taken back, or for the number of calls it was given.
package salesforcetest
