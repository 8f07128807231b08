package guides_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeFile is what these tests need to know of examples/compose.yaml.
type composeFile struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		Command     any               `yaml:"command"`
		Environment map[string]string `yaml:"environment"`
		Ports       []string          `yaml:"ports"`
		Volumes     []string          `yaml:"volumes"`
		DependsOn   map[string]any    `yaml:"depends_on"`
	} `yaml:"services"`
	Volumes map[string]any `yaml:"volumes"`
}

func readCompose(t *testing.T) (file composeFile) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, filepath.Join(root, "examples", "compose.yaml"))), &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// arguments are those of a service's command, after the program.
func (f composeFile) arguments(t *testing.T, service string) (args []string) {
	t.Helper()
	all, ok := f.Services[service].Command.([]any)
	if !ok {
		t.Fatalf("the command of %s is %v; want a list", service, f.Services[service].Command)
	}
	for _, arg := range all[1:] {
		args = append(args, arg.(string)) // a number or a bool would need quotes
	}
	return args
}

// TestComposeFile looks at what a typo would break: names that services share, ports that the guide uses, files that are mounted.
func TestComposeFile(t *testing.T) {
	file := readCompose(t)
	for name, service := range file.Services {
		if service.Image == "" {
			t.Errorf("the service %s has no image", name)
		}
		for other := range service.DependsOn {
			if _, ok := file.Services[other]; !ok {
				t.Errorf("the service %s depends on %s, which is none", name, other)
			}
		}
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if _, named := file.Volumes[from]; named {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, "examples", from)); err != nil || !strings.HasPrefix(from, ".") {
				t.Errorf("the service %s mounts %s, which is neither a volume nor a file", name, from)
			}
		}
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("the service %s listens at %s: on the loopback alone, please", name, port)
			}
		}
	}
	for service, port := range map[string]string{"cache": "127.0.0.1:6379:6379", "postgres": "127.0.0.1:5432:5432"} {
		if !slices.Contains(file.Services[service].Ports, port) {
			t.Errorf("the service %s lacks the port %s of the guide", service, port)
		}
	}
	shop := file.Services["shop"].Environment
	if got, want := shop["REDIS_URL"], "redis://cache:6379/0"; got != want {
		t.Errorf("REDIS_URL in the shop is %q; want %q", got, want)
	}
	if got, want := shop["DATABASE_URL"], "postgres://shop:shop@postgres:5432/shop"; got != want {
		t.Errorf("DATABASE_URL in the shop is %q; want %q", got, want)
	}
}
