// Command chaos breaks real servers under a fleet of real processes and checks what the cache promises. It starts a Redis
// with a replica and a PostgreSQL, puts a proxy before every process that talks to Redis, and runs pods that read and write, a
// follower and its stand-by. A seeded schedule of faults goes over them, with calm stretches between. Every process writes down
// what it did, on one clock; the histories are checked at the end.
//
//	go run ./bench/chaos -pods 8 -for 15m -faults all
//
// docs/chaos.md says what each fault does, what is checked and how to read the report. The exit code is 1 when a promise was
// broken, or when too little happened to prove anything.
package main
