package examples_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tandem-cache/tandem/internal/doctable"
)

// unmarshal reads a file into value, which must know all of its fields.
func unmarshal(t *testing.T, file string, value any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(value); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestPrometheusConfig(t *testing.T) {
	var cfg struct {
		Global map[string]string
		Rules  []string `yaml:"rule_files"`
		Scrape []struct {
			Job    string                `yaml:"job_name"`
			Path   string                `yaml:"metrics_path"`
			Static []map[string][]string `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	unmarshal(t, "prometheus.yml", &cfg)
	for _, file := range cfg.Rules {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	if len(cfg.Scrape) != 1 || cfg.Scrape[0].Path != "/metrics" || len(cfg.Scrape[0].Static) != 1 {
		t.Fatalf("got %+v; want one job, of /metrics", cfg.Scrape)
	}
	pods := []string{"127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"}
	if got := cfg.Scrape[0].Static[0]["targets"]; !slices.Equal(got, pods) {
		t.Errorf("got the targets %q; want the storefront's pods %q", got, pods)
	}
}

// A rule is one of alerts.yml. Its comment is the reason for it.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// TestAlerts wants each rule to have a reason, and to rest on metrics and on a page that there are.
func TestAlerts(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string
			Rules []yaml.Node
		}
	}
	unmarshal(t, "alerts.yml", &file)
	metrics := doctable.Read(t, "../docs/metrics.md", "metric", "type").Rows
	seen := 0
	for _, group := range file.Groups {
		for _, node := range group.Rules {
			seen++
			var r rule
			if err := node.Decode(&r); err != nil {
				t.Fatal(err)
			}
			if len(node.HeadComment) < 40 {
				t.Errorf("%s: no comment says why it is there", r.Alert)
			}
			if s := r.Labels["severity"]; s != "page" && s != "ticket" || r.Annotations["summary"] == "" {
				t.Errorf("%s: labels %v, annotations %v; want a severity, page or ticket, and a summary", r.Alert, r.Labels, r.Annotations)
			}
			checkRunbook(t, r)
			names := regexp.MustCompile(`tandem_[a-z0-9_]+`).FindAllString(r.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s: no metric in %s", r.Alert, r.Expr)
			}
			for _, name := range names {
				series := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, "")
				if metrics["`"+series+"`"] == nil {
					t.Errorf("%s: there is no metric %s", r.Alert, name)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no rules")
	}
}

// checkRunbook wants a heading of a file.
func checkRunbook(t *testing.T, r rule) {
	t.Helper()
	file, anchor, ok := strings.Cut(r.Annotations["runbook"], "#")
	if !ok {
		t.Errorf("%s: the runbook is %q; want file#heading", r.Alert, r.Annotations["runbook"])
		return
	}
	text, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		t.Error(err)
		return
	}
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok && anchorOf(heading) == anchor {
			return
		}
	}
	t.Errorf("%s: %s has no heading #%s", r.Alert, file, anchor)
}

// anchorOf is what GitHub makes of a heading.
func anchorOf(heading string) string {
	return strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-")
}
