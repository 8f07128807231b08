package tier_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandem-cache/tandem/cdc"
	"github.com/tandem-cache/tandem/internal/doctable"
	"github.com/tandem-cache/tandem/internal/servertest"
	"github.com/tandem-cache/tandem/tier"
)

// A metricSeen is a metric as a cache exports it.
type metricSeen struct {
	kind   string              // as the table calls it
	labels map[string][]string // but cache → values
}

// TestMetricsTable compares docs/metrics.md with what a cache exports: each metric has a row with its type, its labels and, of labels with
// few values, those; and no other row is there.
func TestMetricsTable(t *testing.T) {
	const file = "../docs/metrics.md"
	tab := doctable.Read(t, file, "metric", "type", "labels", "meaning")
	seen := gatherMetrics(t)
	for _, name := range namesOfMetrics(t) {
		if _, ok := seen[name]; !ok {
			t.Errorf("tier has a metric %s, which the cache of this test does not export: make it do so", name)
		}
	}
	for name, m := range seen {
		row := tab.Rows["`"+name+"`"]
		if row == nil {
			t.Errorf("%s lacks a row for %s", file, name)
			continue
		}
		if row[1] != m.kind {
			t.Errorf("%s: %s is a %s; want %s", file, name, row[1], m.kind)
		}
		checkLabels(t, name, row[2], m.labels)
	}
	for _, row := range tab.Order {
		if _, ok := seen[strings.Trim(row, "`")]; !ok {
			t.Errorf("%s: there is no metric %s", file, row)
		}
	}
}

// ofMany are the labels whose values the owner of a cache chooses, or the build.
var ofMany = []string{"space", "feed", "version", "goversion"}

// checkLabels compares a cell such as "space, tier (`l1`, `l2`)" with the labels of a metric. "op (as above)" tells no values.
func checkLabels(t *testing.T, name, cell string, labels map[string][]string) {
	t.Helper()
	told := strings.Split(regexp.MustCompile(` \([^)]*\)`).ReplaceAllString(cell, ""), ", ")
	if want := slices.Sorted(maps.Keys(labels)); !slices.Equal(slices.Sorted(slices.Values(told)), want) && (cell != "" || len(want) != 0) {
		t.Errorf("%s has the labels %q in the table; want %q", name, cell, want)
	}
	for label, values := range labels {
		for _, value := range values {
			if !slices.Contains(ofMany, label) && !strings.Contains(cell, "`"+value+"`") && !strings.Contains(cell, label+" (as above)") {
				t.Errorf("%s has the labels %q in the table; want the value %s of %s, too", name, cell, value, label)
			}
		}
	}
}

// namesOfMetrics returns the names in tier's source.
func namesOfMetrics(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(tandem_[a-z0-9_]+)"`).FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	if len(names) < 20 {
		t.Errorf("found %d names of metrics in tier", len(names))
	}
	return names
}

// gatherMetrics returns what a cache with all that has metrics exports.
func gatherMetrics(t *testing.T) map[string]metricSeen {
	t.Helper()
	c := openCache(t, tier.Config{Redis: connect(t, servertest.StartRedis(t).Addr)})
	newSpace(t, c, tier.SpaceConfig[int]{Name: "test:row", Strategy: tier.CDC("feed")})
	if err := c.InvalidateTag(t.Context(), "row", "k"); err != nil {
		t.Fatal(err)
	}
	feed, err := c.Feed("feed")
	if err != nil {
		t.Fatal(err)
	}
	if err := feed.Report(t.Context(), "", nil, "1", time.Now(), 0, cdc.Stats{}.Counts()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bus has brought it", func() bool { return metric(t, c, "tandem_invalidations_total", "api") > 0 })
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]metricSeen)
	for _, f := range families {
		m := metricSeen{kind: strings.ToLower(f.GetType().String()), labels: make(map[string][]string)}
		for _, series := range f.GetMetric() {
			for _, label := range series.GetLabel() {
				if label.GetName() != "cache" {
					m.labels[label.GetName()] = append(m.labels[label.GetName()], label.GetValue())
				}
			}
		}
		seen[f.GetName()] = m
	}
	return seen
}
