package tier_test

import (
	"testing"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// What no pod of this version sends ends nobody's process, poisons no tick, and is a gap when it was numbered.
func TestStrangeMessages(t *testing.T) {
	for name, payload := range map[string]string{
		"an empty name":           "\x95\x01\x01\xa3api\x91\xa0\xc0",
		"a malformed name":        "\x95\x01\x01\xa3api\x91\xa3abc\xc0",
		"an unknown kind":         "\x95\x09\x01\xa3api\x91\xa7k:a:b:c\xc0",
		"a tick that is the last": "\x95\x01\xcf\x00\x20\x00\x00\x00\x00\x00\x00\xa3api\x91\xa7k:a:b:c\xc0",
		"a tick out of time":      "\x95\x01\xcf\x40\x00\x00\x00\x00\x00\x00\x00\xa3api\x91\xa7k:a:b:c\xc0",
	} {
		t.Run(name, func(t *testing.T) {
			addr := servertest.StartRedis(t).Addr
			client, src := connect(t, addr), &source{}
			a, b := newPod(t, addr, src), newPod(t, addr, src)
			resyncs := a.cache.Health(t.Context()).L1.Resyncs
			lineage := client.HGet(t.Context(), "shop:{bus}:head", "lineage").Val()
			for _, frame := range []string{"N1", "J1" + lineage + "1 "} {
				if err := client.Publish(t.Context(), "shop:{bus}", frame+payload).Err(); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the pod starts anew", func() bool { return a.cache.Health(t.Context()).L1.Resyncs > resyncs })
			a.want(t, "k", 0)
			v := src.write("k")
			if err := b.cache.InvalidateTag(t.Context(), "row", "k"); err != nil {
				t.Fatal(err)
			}
			heard(t, a, b)
			a.want(t, "k", v)
		})
	}
}
