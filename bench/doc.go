// Command bench measures the cache and checks what it promises. Pods are real processes: the program runs itself again and
// talks to its children over their standard input and output; they end with it. It starts redis-server and PostgreSQL from the
// machine's binaries unless it is given addresses.
//
//	go run ./bench herd        one load for all callers of a cold or just-invalidated key, and the time until all have it
//	go run ./bench hit         an L1 hit against a bare ristretto
//	go run ./bench coherence   pgbench writes, pods read: every cached balance is right
//	go run ./bench fanout      invalidated names a second from one follower to all pods
//	go run ./bench cdc         changes a second from a source to all pods, and the time from a commit to an eviction
//	go run ./bench keys        what counting, measuring and deleting a million keys costs other clients of Redis
//
// Each takes -json, and -h for the rest.
//
// # Herd
//
// All goroutines of all pods are parked, then released by one message. "Answered" runs from the moment before that message was
// sent until the last goroutine of the last pod had its value, so it includes the wake-up of thousands of goroutines on the
// machine's cores; what remains above the loader's time is the cache, that wake-up and, with Redis, about three round trips.
// The pods' clocks are the machine's wall clock; a round during which that was set is measured again.
//
// Four kinds of round: "no cache", the goroutines wait for one timer of the loader's time in their process, which shows what
// the machine needs to wake them; "cold", nobody has the key; "invalidated, all heard", one pod has invalidated it and each has applied
// that; "invalidated, at once", the release follows the return of Invalidate, so that other pods may not have heard yet and some
// goroutines get the value from before, which is allowed and counted in the column "old". Goroutines then arrive on both sides of
// the broadcast. "Loads" are counted in the loaders themselves. More or fewer than one a key and round is a failure, and so is
// an old value where all had heard.
//
// -suite start and -suite stall are of pods that begin and end, with the defaults of the cache.
//
// "start": the caches of 30 processes are opened together, and each reads the same 100 keys simultaneously, first with an empty L2 (cold), then, opened
// anew, with a full one (warm). It fails above 1.05 loads a key, and above none where L2 is warm.
//
// "stall": a pod is ended in the middle of a load for which the others wait, by SIGKILL, SIGSTOP and SIGTERM, which it does not catch. The stall
// runs from the signal to the last answer of the others, by the machine's wall clock, and contains the load that one of them makes instead. It
// fails if the p99 is above 300 ms and above 8 loads.
//
// # Hit
//
// Both sides read the same keys, in the same order, from pointers, and use the value. The bare ristretto also looks at the
// clock once a read, by time.Since, because whoever keeps values for a time has to. The identifiers read are copies of those
// stored, as in a service, where they come from requests. With few keys the figures compare instructions; with more than the
// processor's caches hold they compare accesses to memory, of which an L1 hit needs more: the entry lies between ristretto and
// the value. "Allocs" are ristretto's own, one list of 64 keys for each 64 reads at most; Get adds none. It runs in slices, A B A B …, and compares
// medians, since a busy machine slows both. The ratio is of one run; figures of two runs say nothing about each other.
//
// # Coherence
//
// pgbench runs its built-in script and one that keeps updating few accounts, while the readers of three pods read those and
// others through a space that a feed keeps true. Some loaders linger after they have read. A trigger counts each account's versions. One pod follows the feed, the others
// hear of changes by broadcast alone. What is checked:
//
//   - Older: a read that began after its pod had applied the invalidation of version n returned a version below n. The pod that
//     follows has applied it when Feed.Invalidate returned. The others are told what is about to be invalidated, before it is,
//     and have applied it when their count of applied names, which rises afterwards, has reached what was sent. Readers look
//     at that count before they read an account that waits for it. Lost messages make it come later, never earlier.
//   - Stale, after the load, once the follower stands at the end of the log and each pod has applied an invalidation sent after
//     that: every value in Redis, and every value in each L1, against the table. L1 is looked at after Redis was emptied
//     behind its back, so that nothing but L1 can answer.
//   - Reverted is counted and is no failure: a read returned a version below one that an earlier read on its pod had returned,
//     while neither was outdated by an applied invalidation. It takes two changes of one account in flight: a load that saw both
//     is answered but may not be stored after the first one's invalidation, and another pod's load, between the two, is.
//
// A commit is seen later than without these checks, since the follower waits until every pod knows what comes.
//
// It fails as well when too little happened to prove anything. To see that it can fail: -sabotage drop loses some invalidations,
// late acknowledges them before they are done, keep lets readers hold on to values.
//
// # Fanout
//
// One process invalidates through tier's Feed, in calls of as many names as a cdc.Follower sends; the others only hear, and hold
// nothing. Names a second count until the last pod has applied the last name. Every tenth of a second the follower tells of a call
// that has just returned, and each pod says how long after that it had applied it: the delay includes the way of that
// question through the program. Beside other work, and with all processes on two cores, look at the processor time of a name.
//
// # CDC
//
// One process follows a source, the others hear; the first of these and L2 hold an entry of each row that changes. The changes are made while nobody
// follows, each of another row, so that nothing is saved by names that repeat; then the follower starts, and the time runs until its checkpoint
// and the counts of all pods have passed the last one. It includes the start of the follower and what the source's server does before it sends its first
// change: PostgreSQL decodes a transaction whole. Collapse is off. Acknowledgements don't lag (FollowerConfig.Rewind), or PostgreSQL would decode half a
// minute of its log again at each start.
//
// Single changes, then, with nothing else going on: from the return of the statement that commits one (of the call that publishes one, with Salesforce's
// fake) until a read on another pod has to load its entry anew. That pod reads it every 50 µs or so. The load begins one round trip to
// L2 after L1 has lost the entry. Both clocks are the machine's.
//
// Salesforce is the fake of cdc/salesforce/salesforcetest, in the program's own process: what the service itself can send is not known, but
// for the bound that its flow control sets, 100 events a round trip.
//
// # Keys
//
// A process of its own reads small keys, at random times, each read timed from its sending; the operations of tier run in another, over
// entries that were stored as loads would have. Windows in which nothing runs lie before, between and after the operations, and figures are
// medians of windows: what else the machine does meets both. It fails where the p99 during an operation is above twice that of idle, or where an
// operation did not find every entry. "Delete, key by key" has a pattern that matches every key and covers no space, so that each is an invalidation.
package main
