package salesforcetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const codePrefix = "sfdc.platform.eventbus.grpc."

// Codes that the server sends by itself, without their prefix.
const (
	authError           = "service.auth.error"
	authHeaders         = "service.auth.headers.invalid"
	streamLimit         = "service.protection.stream.limit.triggered"
	serviceUnavailable  = "service.unavailable"
	topicEmpty          = "topic.validation.empty"
	topicNotFound       = "topic.not.found"
	cannotSubscribe     = "subscription.topic.cannot.subscribe"
	schemaInvalid       = "schema.validation.failed"
	replayCorrupted     = "subscription.fetch.replayid.corrupted"
	replayMissing       = "subscription.fetch.replayid.validation.failed"
	requestInvalid      = "subscription.fetch.request.invalid"
	requestedInvalid    = "subscription.fetch.requested.events.invalid"
	topicMismatch       = "subscription.fetch.topic.mismatch"
	allocationExhausted = "subscription.limit.exceeded"
)

// refusal is an error code without its prefix. Empty, it is a network that resets the stream, which has no trailer.
type refusal string

func (r refusal) Error() string { return "salesforcetest: " + string(r) }

// answer makes the error of a call of err, with its trailers if it is a refusal.
func answer(ctx context.Context, err error) error {
	code, ok := errors.AsType[refusal](err)
	switch {
	case !ok:
		return err
	case code == "":
		return status.Error(codes.Unavailable, "RST_STREAM closed stream")
	}
	rpc := newRPC()
	_ = grpc.SetTrailer(ctx, metadata.Pairs("error-code", codePrefix+string(code), "rpc-id", rpc)) // fails only if the call is over
	return status.Error(code.status(), fmt.Sprintf("The call was refused: %s. rpcId: %s", string(code), rpc))
}

// statuses has the status of each code that begins or ends so; the first one counts.
var statuses = []struct {
	part   string
	status codes.Code
}{
	{"service.auth.", codes.Unauthenticated},
	{".unavailable", codes.Unavailable},
	{".permission", codes.PermissionDenied},
	{".cannot.subscribe", codes.PermissionDenied},
	{".license", codes.PermissionDenied},
	{".not.found", codes.NotFound},
	{".exceeded", codes.ResourceExhausted},
	{".triggered", codes.ResourceExhausted},
	{".overflow", codes.ResourceExhausted},
	{".internal.error", codes.Internal},
	{".replay.repeated", codes.Internal},
}

// status is a guess, but for the replay id's and the token's: the service promises the code alone.
func (r refusal) status() codes.Code {
	for _, row := range statuses {
		if strings.HasPrefix(string(r), row.part) || strings.HasSuffix(string(r), row.part) {
			return row.status
		}
	}
	return codes.InvalidArgument
}

func newRPC() string { return randomHex(16) }

// randomHex returns n random bytes as text.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
