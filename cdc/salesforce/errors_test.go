package salesforce_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tandem-cache/tandem/cdc/salesforce"
)

const prefix = "sfdc.platform.eventbus.grpc."

// errorClasses has every code of the service, and what is done about it.
var errorClasses = map[string][]string{
	"transient": {
		"service.unavailable", "topic.api.unavailable", "schema.api.unavailable", "subscription.fetch.replay.repeated",
		"subscription.internal.error",
	},
	"renew":    {"service.auth.error", "service.auth.refresh.invalid"},
	"lost":     {"subscription.fetch.replayid.corrupted"},
	"overflow": {"subscription.fetch.overflow"},
	"slow":     {"service.protection.triggered", "service.protection.stream.limit.triggered"},
	"quota":    {"concurrent.client.limit.exceeded", "subscription.limit.exceeded"},
	"configuration": {
		"service.auth.headers.invalid", "service.tenant.license", "topic.not.found", "topic.validation.empty", "topic.meta.permission",
		"subscription.topic.cannot.subscribe", "schema.meta.permission", "schema.validation.failed",
	},
	"bug": {
		"subscription.fetch.replayid.validation.failed", "subscription.fetch.requested.events.invalid",
		"subscription.fetch.topic.mismatch", "subscription.fetch.request.invalid",
		"managed.subscription.already.active", "managed.subscription.config.stopped", "managed.subscription.config.deleted",
		"managed.subscription.developer.name.not.found", "managed.subscription.subscription.id.not.found",
		"managed.subscription.subscription.id.invalid", "managed.subscription.id.or.developer.name.empty",
		"managed.subscription.fetch.request.invalid", "managed.subscription.fetch.request.invalid.commit",
	},
}

var pauses = map[string]time.Duration{
	"transient": 0, "renew": 0, "lost": 0, "overflow": 0,
	"slow": 30 * time.Second, "quota": 5 * time.Minute, "configuration": 5 * time.Minute, "bug": 5 * time.Minute,
}

func TestErrorCodes(t *testing.T) {
	rows := salesforce.Codes()
	for class, suffixes := range errorClasses {
		for _, code := range suffixes {
			t.Run(code, func(t *testing.T) {
				// The status says something else: the trailer counts.
				err := salesforce.CallError(codes.Unauthenticated, prefix+code)
				if err.Class() != class || err.RetryAfter() != pauses[class] || err.Code != code || err.RPC != "rpc-1" {
					t.Errorf("class %s, retry after %s, code %q, rpc %q; want %s, %s, %q, rpc-1",
						err.Class(), err.RetryAfter(), err.Code, err.RPC, class, pauses[class], code)
				}
				text := err.Error()
				if !strings.HasPrefix(text, "salesforce: Subscribe: "+code) || !strings.Contains(text, "rpc-1") {
					t.Errorf("text %q lacks what failed, the code or the number of the call", text)
				}
				if class != "transient" && !strings.Contains(text, "; ") {
					t.Errorf("text %q doesn't say what to do", text)
				}
			})
			rows = slices.DeleteFunc(rows, func(row string) bool { return row == code })
		}
	}
	if len(rows) > 0 {
		t.Errorf("rows of the table without a test: %q", rows)
	}
}

func TestErrorsWithoutAKnownCode(t *testing.T) {
	tests := []struct {
		status codes.Code
		code   string
		class  string
	}{
		{codes.Unavailable, "", "transient"}, // the network
		{codes.Unauthenticated, "", "renew"},
		{codes.PermissionDenied, "", "configuration"},
		{codes.Unimplemented, "", "configuration"},
		{codes.ResourceExhausted, "", "slow"},
		{codes.InvalidArgument, "", "transient"},
		{codes.Unauthenticated, prefix + "something.new", "transient"},
		{codes.InvalidArgument, prefix + "managed.something.new", "bug"},
		{codes.Unauthenticated, "service.unavailable", "transient"}, // without the prefix
	}
	for _, tt := range tests {
		err := salesforce.CallError(tt.status, tt.code)
		if err.Class() != tt.class || err.RetryAfter() != pauses[tt.class] {
			t.Errorf("status %v, code %q: class %s, retry after %s; want %s, %s",
				tt.status, tt.code, err.Class(), err.RetryAfter(), tt.class, pauses[tt.class])
		}
		if status.Code(errors.Unwrap(err)) != tt.status {
			t.Errorf("status behind the error = %v; want %v", status.Code(errors.Unwrap(err)), tt.status)
		}
	}
}
