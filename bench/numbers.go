package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// percentile returns the smallest of values that at least the share p of them does not exceed; 0 of none.
func percentile(values []time.Duration, p float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// count says "1 process" or "4 processes".
func count(n int, what, plural string) string {
	if n == 1 {
		plural = ""
	}
	return fmt.Sprintf("%d %s%s", n, what, plural)
}

// milliseconds is how JSON and tables show a duration.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// A printer keeps the first error, so that many lines need one look at it.
type printer struct {
	out io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format, args...)
	}
}

// table prints rows whose cells end with a tab, aligned to the right.
func (p *printer) table(fill func(*printer)) {
	t := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	inner := &printer{out: t}
	fill(inner)
	p.err = errors.Join(p.err, inner.err, t.Flush())
}

// report prints what a command measured, as JSON or as a table.
func report(out io.Writer, asJSON bool, r interface{ print(p *printer) }) error {
	if asJSON {
		return writeJSON(out, r)
	}
	p := &printer{out: out}
	r.print(p)
	return p.err
}

func writeJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
