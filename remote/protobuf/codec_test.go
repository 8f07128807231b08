package protobuf_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/remote"
	"github.com/tandem-cache/tandem/remote/protobuf"
	"github.com/tandem-cache/tandem/tier"
)

var (
	_ remote.Codec       = protobuf.Codec{}
	_ remote.TypeChecker = protobuf.Codec{}
)

func order(t testing.TB) *structpb.Struct {
	t.Helper()
	fields := map[string]any{"lines": []any{"x", 1.5, nil}}
	for i := range 30 {
		fields[fmt.Sprint(i)] = float64(i)
	}
	s, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCodecBringsBackMessages(t *testing.T) {
	var c protobuf.Codec
	want := order(t)
	payload, err := c.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	var got *structpb.Struct
	if err := c.Decode(payload, &got); err != nil || !proto.Equal(want, got) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	again, err := c.Encode(got)
	if err != nil || !bytes.Equal(payload, again) {
		t.Errorf("a map in other bytes, %v", err)
	}
}

// A nil message and an empty one are different answers of a loader.
func TestCodecTellsNilFromEmpty(t *testing.T) {
	var c protobuf.Codec
	for _, want := range []*wrapperspb.StringValue{nil, {}, {Value: "x"}} {
		payload, err := c.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got := &wrapperspb.StringValue{Value: "before"}
		if err := c.Decode(payload, &got); err != nil {
			t.Fatal(err)
		}
		if (got == nil) != (want == nil) || got.GetValue() != want.GetValue() {
			t.Errorf("got %v; want %v", got, want)
		}
	}
	if err := proto.Unmarshal([]byte{0}, &wrapperspb.StringValue{}); err == nil {
		t.Error("the byte that stands for nil is a message")
	}
}

// A field that this build does not know goes through it unchanged.
func TestCodecKeepsUnknownFields(t *testing.T) {
	var c protobuf.Codec
	newer, err := proto.Marshal(&timestamppb.Timestamp{Seconds: 7, Nanos: 42})
	if err != nil {
		t.Fatal(err)
	}
	var older *wrapperspb.Int64Value // it has the first field alone
	if err := c.Decode(newer, &older); err != nil || older.GetValue() != 7 {
		t.Fatalf("got %v, %v", older, err)
	}
	payload, err := c.Encode(older)
	if err != nil {
		t.Fatal(err)
	}
	var got *timestamppb.Timestamp
	if err := c.Decode(payload, &got); err != nil || got.GetNanos() != 42 {
		t.Errorf("got %v, %v; want 42 ns", got, err)
	}
}

func TestCodecRefusesOtherTypes(t *testing.T) {
	var c protobuf.Codec
	if err := c.CheckType(new(*structpb.Struct)); err != nil {
		t.Error(err)
	}
	for _, v := range []any{nil, 1, new(int), new(*int), &structpb.Struct{}, new(proto.Message), (**structpb.Struct)(nil)} {
		if err := c.CheckType(v); err == nil || !strings.Contains(err.Error(), "generated messages") {
			t.Errorf("%T: got %v; want an error", v, err)
		}
		if err := c.Decode(nil, v); err == nil {
			t.Errorf("decoded into %T", v)
		}
	}
	if _, err := c.Encode("text"); err == nil {
		t.Error("a string encodes")
	}
	var got *structpb.Struct
	if err := c.Decode([]byte("\xff"), &got); err == nil || got != nil {
		t.Errorf("broken bytes gave %v, %v", got, err)
	}
}

// Messages cross pods, copied for each reader, and what DetectMutation compares does not take a message's own bookkeeping for a change.
func TestMessagesInASpace(t *testing.T) {
	addr := servertest.StartRedis(t).Addr
	loads := 0
	open := func() *tier.Space[*structpb.Struct] {
		client := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { _ = client.Close() })
		c, err := tier.Open(t.Context(), tier.Config{Name: "shop", Redis: client, RemoteTimeout: 2 * time.Second, DetectMutation: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		s, err := tier.NewSpace(c, tier.SpaceConfig[*structpb.Struct]{
			Name: "orders:detail", Strategy: tier.CDC("feed"), Codec: protobuf.Codec{}, Clone: proto.CloneOf[*structpb.Struct],
			Load: func(context.Context, string) (*structpb.Struct, error) { loads++; return order(t), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := open(), open()
	if _, err := a.Get(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, ok := b.Peek(t.Context(), "k"); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("L2 is not filled")
		}
	}
	for range 5 {
		got, err := b.Get(t.Context(), "k")
		if err != nil || !proto.Equal(got, order(t)) {
			t.Fatalf("got %v, %v", got, err)
		}
		got.Fields["0"] = structpb.NewStringValue("a reader's own")
	}
	if loads != 1 {
		t.Errorf("%d loads; want 1", loads)
	}
}
