package salesforcetest

import (
	"cmp"
	"crypto/rsa"
	"errors"
	"time"
)

// Defaults of Options.
const (
	DefaultOrg         = "00D000000000001EAA"
	DefaultUsername    = "integration@example.com"
	DefaultTokenLife   = 2 * time.Hour
	DefaultKeepalive   = 270 * time.Second
	DefaultStarve      = 60 * time.Second
	DefaultRetention   = 72 * time.Hour
	DefaultMaxResponse = 3 << 20
	DefaultMaxEvents   = 100_000
	DefaultMaxStreams  = 1000
	DefaultOverflow    = 100_000
)

// Options is what an org is made of. The defaults are those of the service.
type Options struct {
	// Org is the org's id, 18 characters. Empty means DefaultOrg.
	Org string
	// Username is who may log in by a JWT. Empty means DefaultUsername.
	Username string
	// JWTKey verifies the JWTs of logins. Nil: nobody logs in by a JWT.
	JWTKey *rsa.PublicKey
	// TokenLife is for how long an access token is good. Zero means DefaultTokenLife.
	TokenLife time.Duration
	// Keepalive is after which silence a stream that has asked for events gets an empty response. Zero means DefaultKeepalive.
	Keepalive time.Duration
	// Starve is for how long a stream may have nothing outstanding before it is closed. Zero means DefaultStarve.
	Starve time.Duration
	// Retention is for how long events and replay ids are good. Zero means DefaultRetention.
	Retention time.Duration
	// MaxResponse bounds the events of one response, in bytes; one event is always sent. Zero means DefaultMaxResponse.
	MaxResponse int
	// MaxEvents bounds the events that a topic keeps; one more drops the oldest. Zero means DefaultMaxEvents.
	MaxEvents int
	// MaxStreams bounds the streams that are open at a time. One more is refused. Zero means DefaultMaxStreams.
	MaxStreams int
	// Overflow is how many changes of one transaction become events, where an update counts once for each of its fields. An entity whose
	// changes lie behind gets one GAP_OVERFLOW. Zero means DefaultOverflow.
	Overflow int
	// Allocation is how many events the org may have delivered, to all streams together. Zero means Unlimited. SetAllocation changes it.
	Allocation int
	// LatestAhead puts the replay id of the topic's end into responses with events, even if events before it are still to be sent.
	// Nothing published says whether the service does: a client that stores it must not lose those. Without it such a response has the
	// id of its last event.
	LatestAhead bool
}

func (o Options) withDefaults() (Options, error) {
	var errs []error
	positive := func(name string, ok bool) {
		if !ok {
			errs = append(errs, errors.New("salesforcetest: Options."+name+" is negative"))
		}
	}
	positive("TokenLife", o.TokenLife >= 0)
	positive("Keepalive", o.Keepalive >= 0)
	positive("Starve", o.Starve >= 0)
	positive("Retention", o.Retention >= 0)
	positive("MaxResponse", o.MaxResponse >= 0)
	positive("MaxEvents", o.MaxEvents >= 0)
	positive("MaxStreams", o.MaxStreams >= 0)
	positive("Overflow", o.Overflow >= 0)
	positive("Allocation", o.Allocation >= 0)
	if o.Org = cmp.Or(o.Org, DefaultOrg); len(o.Org) != 18 {
		errs = append(errs, errors.New("salesforcetest: Options.Org has not 18 characters"))
	}
	o.Username = cmp.Or(o.Username, DefaultUsername)
	o.TokenLife = cmp.Or(o.TokenLife, DefaultTokenLife)
	o.Keepalive = cmp.Or(o.Keepalive, DefaultKeepalive)
	o.Starve = cmp.Or(o.Starve, DefaultStarve)
	o.Retention = cmp.Or(o.Retention, DefaultRetention)
	o.MaxResponse = cmp.Or(o.MaxResponse, DefaultMaxResponse)
	o.MaxEvents = cmp.Or(o.MaxEvents, DefaultMaxEvents)
	o.MaxStreams = cmp.Or(o.MaxStreams, DefaultMaxStreams)
	o.Overflow = cmp.Or(o.Overflow, DefaultOverflow)
	o.Allocation = cmp.Or(o.Allocation, Unlimited)
	return o, errors.Join(errs...)
}
