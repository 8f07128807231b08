package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestKeys wants every operation to find every entry. What it costs others is for the program on a quiet machine.
func TestKeys(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), []string{"keys", "-keys", "2000", "-rate", "20000", "-sample", "10", "-window", "20ms", "-json"}, &out)
	var got keysReport
	if json.Unmarshal(out.Bytes(), &got) != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	if len(got.Rows) != 5 {
		t.Errorf("%d operations; want 5", len(got.Rows))
	}
	for _, row := range got.Rows {
		if row.Found != 2000 || row.Busy.Windows == 0 || row.Idle.Windows == 0 || row.Busy.MaxMS < row.Busy.P50MS {
			t.Errorf("got %+v", row)
		}
	}
}

// TestKeysVerdict judges reports.
func TestKeysVerdict(t *testing.T) {
	if err := (&keysReport{Rows: []keysRow{{Ratio: keysBar}}}).verdict(); err != nil {
		t.Errorf("got %v; want nil", err)
	}
	if (&keysReport{Rows: []keysRow{{Ratio: 1}, {Ratio: keysBar + 0.1}}}).verdict() == nil {
		t.Error("got nil; want an error")
	}
}
