//go:build race

package sim

// defaultSeeds are few: under the race detector a seed costs five times as much, and it is here for the races. Most seeds run without it.
const defaultSeeds = 5
