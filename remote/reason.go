package remote

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// A Reason is why a call to Redis failed, in a word: a label of a metric.
type Reason string

// The reasons.
const (
	Canceled   Reason = "canceled"   // the caller gave up: it says nothing of Redis
	Timeout    Reason = "timeout"    // no answer in time
	Refused    Reason = "refused"    // no connection, or one that was cut
	OOM        Reason = "oom"        // full, and nothing may be evicted
	Misconf    Reason = "misconf"    // it can't persist, and stop-writes-on-bgsave-error is set
	ReadOnly   Reason = "readonly"   // a replica
	NoReplicas Reason = "noreplicas" // fewer than min-replicas-to-write
	Loading    Reason = "loading"    // it reads its data from disk
	Auth       Reason = "auth"       // no user, or a wrong password
	NoPerm     Reason = "noperm"     // the user lacks a right: see Check
	Busy       Reason = "busy"       // a script runs too long, the cluster is down, or there are too many clients
	Other      Reason = "other"
)

// Reasons returns all of them.
func Reasons() []Reason {
	return []Reason{Canceled, Timeout, Refused, OOM, Misconf, ReadOnly, NoReplicas, Loading, Auth, NoPerm, Busy, Other}
}

// Refusal reports whether Redis answered and would not do it: it will not before somebody changes something.
func (r Reason) Refusal() bool {
	switch r {
	case OOM, Misconf, ReadOnly, NoReplicas, Auth, NoPerm:
		return true
	}
	return false
}

// refusals are the beginnings of what Redis says.
var refusals = []struct {
	prefix string
	reason Reason
}{
	{"OOM", OOM},
	{"MISCONF", Misconf},
	{"READONLY", ReadOnly},
	{"NOREPLICAS", NoReplicas},
	{"LOADING", Loading},
	{"MASTERDOWN", Loading},
	{"NOAUTH", Auth},
	{"WRONGPASS", Auth},
	{"ERR invalid password", Auth},
	{"NOPERM", NoPerm},
	{"ERR The user executing the script can't", NoPerm}, // Redis 7.0, of a command in a script
	{"BUSY", Busy},
	{"CLUSTERDOWN", Busy},
	{"TRYAGAIN", Busy},
	{"ERR max number of clients", Busy},
}

// ReasonOf returns why a call failed; "" for nil. err may be wrapped.
func ReasonOf(err error) Reason {
	if err == nil {
		return ""
	}
	if said, ok := errors.AsType[redis.Error](err); ok {
		return reasonOf(said.Error())
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, new(*net.OpError)):
		return Refused
	}
	return Other
}

func reasonOf(said string) Reason {
	for _, r := range refusals {
		if strings.HasPrefix(said, r.prefix) {
			return r.reason
		}
	}
	return Other
}
