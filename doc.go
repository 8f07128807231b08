// Package tandem is the root of a two-tier cache that stays true to its
// database. It holds no code; start with package tier.
//
//	tier     the cache: spaces, reads, invalidation, health, metrics
//	local    its first tier, in the process's own memory
//	remote   its second tier, in Redis
//	bus      the broadcast of invalidations to every instance
//	cdc      changes of the source of record, turned into invalidations
//
// The sources of changes, such as cdc/postgres, and the benchmarks and examples
// are modules of their own: what they depend on stays theirs.
package tandem
