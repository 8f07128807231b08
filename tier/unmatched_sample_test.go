package tier

import (
	"strconv"
	"testing"

	"github.com/tandem-cache/tandem/remote"
)

// However many objects values depend on, a sample of them is remembered, and a change of one of those meets.
func TestSampleOfTagsIsBounded(t *testing.T) {
	var u unmatched
	u.init()
	var names []string
	for i := range 100_000 {
		names = append(names, Tag("product", strconv.Itoa(i)))
	}
	for _, name := range names {
		u.depended([]remote.Name{{Text: name}, {Text: Entity("product")}})
	}
	m := u.tags["product"]
	if n := len(m.sample); n > maxSample || n < maxSample/4 {
		t.Errorf("%d of 100,000 tags are remembered; want %d to %d", n, maxSample/4, maxSample)
	}
	if m.met {
		t.Error("they met before any change")
	}
	u.invalidated([]string{Tag("product", "others")})
	if m.met {
		t.Error("a change of another object met")
	}
	u.invalidated(names[:2000])
	if !m.met {
		t.Error("2,000 changes of objects that values depend on met none")
	}
	for i := range 2 * maxMeetings {
		u.depended([]remote.Name{{Text: Tag("e"+strconv.Itoa(i), "1")}})
		u.invalidated([]string{Entity("f" + strconv.Itoa(i)), Key("a:b"+strconv.Itoa(i), "1")})
	}
	if len(u.tags) != maxMeetings || len(u.named) > maxNamed {
		t.Errorf("%d entities and %d kinds are remembered; want %d, at most %d", len(u.tags), len(u.named), maxMeetings, maxNamed)
	}
}
