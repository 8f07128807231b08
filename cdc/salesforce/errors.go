package salesforce

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Trailers of a call that failed.
const (
	trailerCode = "error-code"
	trailerRPC  = "rpc-id"
	codePrefix  = "sfdc.platform.eventbus.grpc."
)

// Pauses that an error asks for.
const (
	retrySlowly = 30 * time.Second
	retryRarely = 5 * time.Minute
)

// class is what is done about an error.
type class uint8

const (
	transient     class = iota // open again
	renew                      // log in anew, and open again
	lost                       // changes are lost: flush, and start at the end of the topic
	overflow                   // open again, and ask for fewer events at a time
	slow                       // leave the service alone for a while
	quota                      // an allowance is used up: seldom
	configuration              // somebody must change something: seldom
	bug                        // this package broke the protocol: seldom
)

// retryAfter is how long the service is to be left alone.
func (c class) retryAfter() time.Duration {
	switch c {
	case slow:
		return retrySlowly
	case quota, configuration, bug:
		return retryRarely
	default:
		return 0
	}
}

// advice is what is known about a code of the service.
type advice struct {
	class class
	text  string // what to do about it; "": nothing
}

const bugText = "this is a bug of package salesforce, please report it"

// codesKnown has a row for each code, without its prefix.
var codesKnown = map[string]advice{
	"service.unavailable": {transient, ""},
	"service.auth.error": {
		renew, "a new login follows; if it goes on, the integration user's IP ranges or session policy refuse this machine",
	},
	"service.auth.headers.invalid":                      {configuration, "see that Auth gives the access token, the instance's URL and the 18-character org id"},
	"service.auth.refresh.invalid":                      {renew, "a new login follows"},
	"service.protection.triggered":                      {slow, "there are too many requests of this org: run fewer followers"},
	"service.protection.stream.limit.triggered":         {slow, "there are too many streams of this org: run fewer followers"},
	"service.tenant.license":                            {configuration, "the org isn't licensed for the Pub/Sub API"},
	"concurrent.client.limit.exceeded":                  {quota, "there are too many subscribers of this org: run fewer, or raise the limit"},
	"topic.not.found":                                   {configuration, "see that Config.Topic is right, and that the entity is selected for Change Data Capture"},
	"topic.validation.empty":                            {configuration, "set Config.Topic"},
	"topic.meta.permission":                             {configuration, "let the integration user read the entity"},
	"topic.api.unavailable":                             {transient, ""},
	"schema.meta.permission":                            {configuration, "let the integration user read the entity"},
	"schema.api.unavailable":                            {transient, ""},
	"schema.validation.failed":                          {configuration, "an event names no schema"},
	"subscription.topic.cannot.subscribe":               {configuration, "let the integration user read the entity, and its records"},
	"subscription.fetch.replayid.corrupted":             {lost, "the feed is flushed, and followed from the end of the topic"},
	"subscription.fetch.replayid.validation.failed":     {bug, bugText},
	"subscription.fetch.replay.repeated":                {transient, ""},
	"subscription.fetch.requested.events.invalid":       {bug, bugText},
	"subscription.fetch.topic.mismatch":                 {bug, bugText},
	"subscription.fetch.overflow":                       {overflow, "the next stream asks for half as many events at a time"},
	"subscription.fetch.request.invalid":                {bug, bugText},
	"subscription.limit.exceeded":                       {quota, "the org has used up its daily allocation of delivered events; they are kept for 72 hours"},
	"subscription.internal.error":                       {transient, ""},
	"managed.subscription.already.active":               {bug, bugText},
	"managed.subscription.config.stopped":               {bug, bugText},
	"managed.subscription.config.deleted":               {bug, bugText},
	"managed.subscription.developer.name.not.found":     {bug, bugText},
	"managed.subscription.subscription.id.not.found":    {bug, bugText},
	"managed.subscription.subscription.id.invalid":      {bug, bugText},
	"managed.subscription.id.or.developer.name.empty":   {bug, bugText},
	"managed.subscription.fetch.request.invalid":        {bug, bugText},
	"managed.subscription.fetch.request.invalid.commit": {bug, bugText},
}

// judge finds the row of a code. Without a code it goes by the status: the service sends one for all that it
// decides itself, so that what comes without is of the network or of a proxy.
func judge(code string, status codes.Code) advice {
	if a, ok := codesKnown[code]; ok {
		return a
	}
	if strings.HasPrefix(code, "managed.") {
		return advice{bug, bugText}
	}
	switch {
	case code != "":
		return advice{transient, "the code is unknown to this package"}
	case status == codes.Unauthenticated:
		return advice{renew, "a new login follows"}
	case status == codes.PermissionDenied || status == codes.Unimplemented:
		return advice{configuration, "see that Config.Endpoint is right, and what lies between"}
	case status == codes.ResourceExhausted:
		return advice{slow, ""}
	default:
		return advice{transient, ""}
	}
}

// Error is what the service, or a login, refused. errors.As finds it in every error of this package that has one behind it.
type Error struct {
	Op   string // what failed, such as "GetTopic"
	Code string // the service's, without "sfdc.platform.eventbus.grpc."; of a login, OAuth's; "": none came
	RPC  string // the service's number of the call, for its support; "": none came

	class class
	text  string // what to do about it
	err   error
}

// Error names what failed and what to do about it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("salesforce: " + e.Op)
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if e.err != nil {
		b.WriteString(": " + e.err.Error())
	}
	if e.RPC != "" {
		b.WriteString(" (rpc id " + e.RPC + ")")
	}
	if e.text != "" {
		b.WriteString("; " + e.text)
	}
	return b.String()
}

// Unwrap returns the error of gRPC or of HTTP.
func (e *Error) Unwrap() error { return e.err }

// RetryAfter is how long the service is to be left alone: 30 s where it asks to slow down, 5 minutes where an allowance is used up or
// somebody must change something, otherwise 0.
func (e *Error) RetryAfter() time.Duration { return e.class.retryAfter() }

// callError makes an Error of a failed call, by the trailer rather than by the status: the service uses one status for many things.
func callError(op string, err error, trailer metadata.MD) *Error {
	e := &Error{
		Op: op, Code: strings.TrimPrefix(first(trailer, trailerCode), codePrefix), RPC: first(trailer, trailerRPC),
		err: err,
	}
	a := judge(e.Code, status.Code(err))
	e.class, e.text = a.class, a.text
	return e
}

func first(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// badTopic is a topic that can't be followed though it exists.
func badTopic(topic string) *Error {
	return &Error{
		Op: "GetTopic", class: configuration, text: "let the integration user read the entity",
		err: fmt.Errorf("the user can't subscribe to %q", topic),
	}
}
