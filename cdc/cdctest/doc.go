// Package cdctest checks that a cdc.Source keeps its contract, and models the feed
// that a follower writes to. It is for the tests of whoever writes a source.
//
//	func TestSource(t *testing.T) {
//		cdctest.Run(t, func(t *testing.T) cdctest.Rig {
//			server := startServer(t)
//			return cdctest.Rig{
//				Source: server.source(50), MaxBatch: 50, Entity: "orders", Column: "id",
//				Change: server.change,
//				Cut:    server.cutConnections,
//				// … every fault that the server can be given
//				Lacks: map[string]string{"Lose": "the log is never cut"},
//			}
//		})
//	}
//
// A [Rig] is the source, its server and the faults. [Run] gives them to it, each rule
// in a subtest with a rig of its own. What a source can't have is said in a sentence
// in Rig.Lacks, and the checks that need it are skipped with that sentence.
//
// [Kill] follows the source from processes of their own and kills them, 200 times as a
// rule. They run the test binary, whose TestMain has to let them:
//
//	func TestMain(m *testing.M) {
//		cdctest.Child(sourceOf) // func(config string) (cdc.Source, error), of Rig.Config
//		os.Exit(m.Run())
//	}
//
//	func TestKill(t *testing.T) { cdctest.Kill(t, newRig, cdctest.Kills{}) }
//
// [Ledger] stands in for the cache, in these checks and in tests of one's own: it
// records what followers do, and notes each step that comes too early.
//
// # Promises
//
//   - Each rule of the contract has a check that a source in memory fails when it
//     breaks the rule (TestFlaws).
//   - A source that hangs fails its check; it doesn't hang the test.
//   - Nothing waits for luck: what must happen has Rig.Patience, and only what must
//     not happen is waited for by the clock, for Rig.Quiet.
//   - Run works in a bubble of testing/synctest if the source and its server do; Kill
//     needs sockets.
//   - Of Kill everything random follows from Kills.Seed but for what the machine adds: the
//     same seed dooms the same steps, and not the same changes.
//
// # What it does not do
//
// It doesn't look at what an event says of its row: that a null is absent, or which
// columns changed, is for tests of the source's own. It can't see whether a change
// is handed over before a new read sees it.
package cdctest
