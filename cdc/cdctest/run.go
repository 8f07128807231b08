package cdctest

import "testing"

// check is one rule of the contract.
type check struct {
	name  string
	needs []string // faults
	run   func(*probe)
}

var checks = []check{
	{"identity", nil, identity},
	{"start without a position", nil, startWithoutPosition},
	{"resume", nil, resume},
	{"redeliver after a crash", nil, redeliver},
	{"position lost", []string{"Lose"}, positionLost},
	{"malformed position", nil, malformedPosition},
	{"whole entity", []string{"Whole"}, wholeEntity},
	{"idle progress", []string{"Unrelated"}, idleProgress},
	{"lag", nil, lag},
	{"transactions", nil, transactions},
	{"batch limit", nil, batchLimit},
	{"end of the context", nil, contextEnds},
	{"close while blocked", nil, closeBlocked},
	{"close while frozen", []string{"Freeze"}, closeFrozen},
	{"stream cut", []string{"Cut"}, streamCut},
	{"expired credentials", []string{"Revoke"}, expiredCredentials},
	{"slow consumer", nil, slowConsumer},
	{"exclusive", nil, exclusive},
	{"follower reconnects", []string{"Cut", "Down"}, followerReconnects},
	{"follower killed between steps", nil, followerKilled},
	{"follower killed after a loss", []string{"Lose"}, followerKilledAfterLoss},
}

// Run checks that a source keeps the contract of cdc.Source, each rule in a subtest
// with a rig of its own, which ends what it started when its test does.
func Run(t *testing.T, newRig func(t *testing.T) Rig) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			rig := newRig(t).withDefaults(t)
			if why := rig.missing(c.needs); why != "" {
				t.Skipf("not applicable: %s", why)
			}
			c.run(&probe{TB: t, rig: rig})
		})
	}
}
