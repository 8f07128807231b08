package remote_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/remote"
)

type page struct {
	Title string
	Lines []string
	Price map[string]int
	Next  *page
}

func TestCodecsBringBackWhatTheyTook(t *testing.T) {
	want := page{Title: "日本", Lines: []string{"a", "b"}, Price: map[string]int{"x": 1, "y": 2}, Next: &page{Title: "next"}}
	for _, c := range []remote.Codec{remote.MsgPack{}, remote.JSON{}} {
		payload, err := c.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		var got page
		if err := c.Decode(payload, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.Name(), diff)
		}
		payload, err = c.Encode((*page)(nil))
		if err != nil {
			t.Fatal(err)
		}
		none := &page{}
		if err := c.Decode(payload, &none); err != nil || none != nil {
			t.Errorf("%s: nil came back as %v, %v", c.Name(), none, err)
		}
		if err := c.Decode([]byte("\xc1"), &got); err == nil {
			t.Errorf("%s: broken bytes decode", c.Name())
		}
		if _, err := c.Encode(func() {}); err == nil {
			t.Errorf("%s: a func encodes", c.Name())
		}
	}
}

func TestRawCodec(t *testing.T) {
	var c remote.Raw
	for _, v := range []any{[]byte("bytes"), "bytes"} {
		payload, err := c.Encode(v)
		if err != nil || string(payload) != "bytes" {
			t.Errorf("%T: got %q, %v", v, payload, err)
		}
	}
	payload := []byte("bytes")
	var b []byte
	var s string
	if err := errors.Join(c.Decode(payload, &b), c.Decode(payload, &s)); err != nil {
		t.Fatal(err)
	}
	payload[0] = 'X'
	if string(b) != "bytes" || s != "bytes" {
		t.Errorf("got %q and %q: they share the payload's memory", b, s)
	}
	type named []byte
	for _, v := range []any{1, named("x"), &page{}, nil} {
		if _, err := c.Encode(v); err == nil || !strings.Contains(err.Error(), "[]byte and string only") {
			t.Errorf("encode %T: got %v; want a clear error", v, err)
		}
		if err := c.Decode(payload, &v); err == nil || !strings.Contains(err.Error(), "[]byte and string only") {
			t.Errorf("decode %T: got %v; want a clear error", v, err)
		}
	}
}

type called struct {
	remote.MsgPack
	name string
}

func (c called) Name() string { return c.name }

func TestCheckCodec(t *testing.T) {
	for _, c := range []remote.Codec{remote.MsgPack{}, remote.JSON{}, called{name: "my.own-1"}} {
		if err := remote.CheckCodec(c, new(page)); err != nil {
			t.Errorf("%q: %v", c.Name(), err)
		}
	}
	for _, name := range []string{"", "ninebytes", "a b", "a\x00", "日", "absent"} {
		if err := remote.CheckCodec(called{name: name}, new(page)); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
	if err := errors.Join(remote.CheckCodec(remote.Raw{}, new([]byte)), remote.CheckCodec(remote.Raw{}, new(string))); err != nil {
		t.Error(err)
	}
	if err := remote.CheckCodec(remote.Raw{}, new(page)); err == nil || !strings.Contains(err.Error(), "*remote_test.page") {
		t.Errorf("got %v; want an error that names the type", err)
	}
}
