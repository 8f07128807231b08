package postgres_test

import (
	"testing"

	"github.com/tandem-cache/tandem/cdc/postgres"
)

func TestSnapshot(t *testing.T) {
	const epoch = "8589934592" // 2 << 32
	for _, c := range []struct {
		snapshot string
		xid      uint32
		want     bool
	}{
		{"100:100:", 99, true},
		{"100:100:", 100, false},
		{"100:105:100,103", 100, false},
		{"100:105:103,100", 103, false},
		{"100:105:100,103", 101, true},
		{"100:105:100,103", 105, false},
		{"8589934597:8589934600:8589934597", 6, true},
		{"8589934597:8589934600:8589934597", 5, false},
		{"8589934597:8589934600:8589934597", 4294967295, true}, // just before the numbers began again
		{"8589934590:8589934600:8589934590", 4294967294, false},
		{"8589934590:8589934600:8589934590", 9, false},
		{epoch + ":" + epoch + ":", 4294967295, true},
		{epoch + ":" + epoch + ":", 3, false},
		{"8589934590:8589934590:", 2, false}, // of the epoch after
	} {
		got, err := postgres.Sees(c.snapshot, c.xid)
		if err != nil || got != c.want {
			t.Errorf("snapshot %s, transaction %d: got %t, %v; want %t", c.snapshot, c.xid, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "1:2", "a:2:", "1:b:", "1:2:c", "1:2:3:4"} {
		if _, err := postgres.Sees(bad, 1); err == nil {
			t.Errorf("snapshot %q: got no error", bad)
		}
	}
}

func TestPosition(t *testing.T) {
	for _, good := range []string{
		"7312345678901234567/1/0/16B3748", "1/4294967295/FFFFFFFF/FFFFFFFF", "18446744073709551615/1/0/1", "1/2@3000148/0/31A5C88", "1/2@?/0/1",
	} {
		if got, err := postgres.FormatPosition(good); err != nil || got != good {
			t.Errorf("got %q, %v; want %q", got, err, good)
		}
	}
	for _, bad := range []string{
		"", "1", "1/", "1/1/0", "1/1/0/0", "x/1/0/1", "-1/1/0/1", "01/1/0/1", "1/1/0/1 ", "1/0/1/2", "1/1/0/01", "18446744073709551616/1/0/1",
		"1/01/0/1", "1/4294967296/0/1", "1/2@/0/1", "1/2@0/0/1", "1/2@x/0/1", "1/2@a/0/1", "1/@1/0/1", "1/1/0/1/2", "1/0/1", // the last is of a version before
	} {
		if got, err := postgres.FormatPosition(bad); err == nil {
			t.Errorf("%q: got %q; want an error", bad, got)
		}
	}
}
