// Package sim simulates a fleet: the real code of tier, local, remote, bus and cdc, many pods and a follower, in the virtual time of
// testing/synctest, on an in-memory Redis and a source in memory that can be made to fail in every way that is promised to do no
// harm. A seed fixes what is done, what fails, and when. A checker follows the history and fails at the first read that a
// promise forbids.
//
//	go test ./internal/sim                             # some seeds
//	go test ./internal/sim -args -seeds 5000           # more
//	go test ./internal/sim -args -first 4711 -seeds 1 -verbose
//
// What is approximated: a paused pod is one whose network stands still, since a goroutine cannot be stopped; Redis is miniredis,
// whose replica is a copy of the master's keys from some time ago.
package sim
