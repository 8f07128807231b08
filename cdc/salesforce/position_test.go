package salesforce_test

import (
	"strings"
	"testing"

	"github.com/tandem-cache/tandem/cdc/salesforce"
)

func TestPosition(t *testing.T) {
	const good = "00D000000000001AAA /data/OrderChangeEvent AAAAAAAAAAH_-w"
	if got := salesforce.NewPosition("00D000000000001AAA", "/data/OrderChangeEvent", []byte("\x00\x00\x00\x00\x00\x00\x00\x01\xff\xfb")); got != good {
		t.Errorf("position = %q; want %q", got, good)
	}
	if got, err := salesforce.FormatPosition(good); got != good || err != nil {
		t.Errorf("parsed and written again = %q, %v; want %q", got, err, good)
	}
	for name, bad := range map[string]string{
		"empty": "", "another source's": "7312345678901234567/0/16B3748", "no replay id": "00D /data/A", "an empty replay id": "00D /data/A ",
		"no org": " /data/A AAAB", "padded": "00D /data/A AAA=", "standard base64": "00D /data/A AA+/", "more": good + " x",
		"stray bits": "00D /data/A AB", "a line": good + "\n",
	} {
		if got, err := salesforce.FormatPosition(bad); err == nil || !strings.HasPrefix(err.Error(), "salesforce: position") {
			t.Errorf("%s: %q was taken as %q, error %v", name, bad, got, err)
		}
	}
}
