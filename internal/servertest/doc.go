// Package servertest starts the real servers that tests and benchmarks talk
// to: redis-server and PostgreSQL, from the machine's own binaries, on free
// loopback ports.
//
//	rds := servertest.StartRedis(t)
//	pg := servertest.StartPostgres(t, "wal_sender_timeout=1s")
//
// The servers stop when the test ends; a missing binary fails the test with
// what to install. Outside of tests [NewRedis] and [NewPostgres] take a
// directory and return errors.
//
// Promises:
//
//   - A started server answers. Its address stays the same over Stop, Kill and
//     Start, and so does its data as far as the server itself keeps it.
//   - No server outlives the process that started it, however that process
//     ends (on Linux; elsewhere only when Close or the test's cleanup runs).
//   - Methods may be called from several goroutines.
//
// A test binary that is killed leaves its directory in the temporary one.
package servertest
