package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// TestCDC wants every change of every source at every pod. How fast is for the program on a quiet machine.
func TestCDC(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), []string{"cdc", "-changes", "2000", "-rounds", "1", "-calm", "20", "-json"}, &out)
	var got cdcReport
	if json.Unmarshal(out.Bytes(), &got) != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	for _, name := range cdcSourceNames {
		row := slices.IndexFunc(got.Rows, func(r cdcRow) bool { return r.Source == name })
		calm := slices.IndexFunc(got.Calm, func(l cdcLag) bool { return l.Source == name })
		if row < 0 || got.Rows[row].PerSecond <= 0 || got.Rows[row].FollowerCPU <= 0 || calm < 0 || got.Calm[calm].Changes != 20 || got.Calm[calm].P50MS <= 0 {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// TestCDCVerdict judges reports.
func TestCDCVerdict(t *testing.T) {
	good := cdcReport{
		Rows: []cdcRow{
			{Source: cdcPostgres, Shape: shapeSingle, PerSecond: 1},
			{Source: cdcPostgres, Shape: shapeBulk, PerSecond: cdcBulkBar},
		},
		Calm: []cdcLag{{Source: cdcPostgres, P99MS: cdcCalmBar - 0.1}},
	}
	if err := good.verdict(); err != nil {
		t.Errorf("got %v; want nil", err)
	}
	for name, bad := range map[string]cdcReport{
		"slow bulk": {Rows: []cdcRow{{Source: cdcPostgres, Shape: shapeBulk, PerSecond: cdcBulkBar - 1}}},
		"late":      {Calm: []cdcLag{{Source: cdcPostgres, P99MS: cdcCalmBar}}},
	} {
		if bad.verdict() == nil {
			t.Errorf("%s: got nil; want an error", name)
		}
	}
	for _, args := range [][]string{{"-sources", "oracle"}, {"-changes", "5"}, {"-rounds", "0"}, {"x"}} {
		if _, err := cdcFlags(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
