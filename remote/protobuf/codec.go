// Package protobuf is the codec of a space whose values are protobuf messages:
//
//	tier.SpaceConfig[*orderpb.Order]{Codec: protobuf.Codec{}, …}
//
// # Promises
//
//   - A message comes back with the fields that it does not know, as protobuf keeps them: old and new pods may share values as far as their
//     .proto files are compatible, with no change of SpaceConfig.Schema.
//   - A nil message comes back nil, an empty one empty.
//   - The same message has the same bytes in one build.
//
// Messages hold locks: compare them by proto.Equal, and copy them by proto.CloneOf, which is also what SpaceConfig.Clone takes.
//
// It is a module of its own, so that who does not use it does not link it on its account.
package protobuf

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"
)

// Codec writes messages in the wire format of protobuf. A space's type is the pointer to a generated message, such as *orderpb.Order. Its
// methods may be called from any goroutine.
type Codec struct{}

// noMessage stands for a nil message: no message encodes so, 0 being no field's number.
const noMessage = "\x00"

// Name is "protobuf".
func (Codec) Name() string { return "protobuf" }

// CheckType refuses all but a pointer to a pointer to a generated message.
func (Codec) CheckType(v any) error {
	_, err := target(v)
	return err
}

// target returns where Decode stores a message: a pointer to a message's struct, which may be nil.
func target(v any) (reflect.Value, error) {
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && !p.IsNil() && p.Elem().Kind() == reflect.Pointer {
		if _, ok := reflect.TypeAssert[proto.Message](p.Elem()); ok {
			return p.Elem(), nil
		}
	}
	return reflect.Value{}, fmt.Errorf("protobuf: the codec takes pointers to generated messages, not what a %T points to", v)
}

// Encode returns the message v in its wire format.
func (Codec) Encode(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("protobuf: encode %T: it is no message", v)
	}
	if p := reflect.ValueOf(m); p.Kind() == reflect.Pointer && p.IsNil() {
		return []byte(noMessage), nil
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("protobuf: encode %T: %w", v, err)
	}
	return b, nil
}

// Decode reads a message, or nil, into the pointer that v points to. The message is new.
func (Codec) Decode(payload []byte, v any) error {
	at, err := target(v)
	if err != nil {
		return err
	}
	if string(payload) == noMessage {
		at.SetZero()
		return nil
	}
	made := reflect.New(at.Type().Elem())
	m, _ := reflect.TypeAssert[proto.Message](made) // target has looked
	if err := proto.Unmarshal(payload, m); err != nil {
		return fmt.Errorf("protobuf: decode %T: %w", m, err)
	}
	at.Set(made)
	return nil
}
