package tandem_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tandem-cache/tandem"

// allowed says what the code of a package may import besides the standard
// library: packages of ours by directory, modules of others by path. A package
// without a row may import nothing else. The table is policy: changing it takes
// a design note.
var allowed = map[string][]string{
	"bus":    {"internal/script", "internal/episode", redisClient, msgpack},
	"local":  {"github.com/dgraph-io/ristretto/v2", xxhash},
	"remote": {"internal/script", redisClient, msgpack, xxhash, "github.com/klauspost/compress"},
	"tier": {
		"local", "remote", "bus", "internal/episode",
		redisClient,
		"github.com/prometheus/client_golang",
		"golang.org/x/sync",
	},
	"tier/tiertest": {"tier"},
	"cdc":           {"internal/episode"},
	"cdc/postgres": {
		"cdc",
		"github.com/jackc/pglogrepl",
		"github.com/jackc/pgx/v5",
	},
	"cdc/cdctest": {"cdc"},
	"cdc/salesforce": {
		"cdc", "cdc/salesforce/internal/eventbus",
		"github.com/twmb/avro",
		"google.golang.org/grpc",
	},
	"cdc/salesforce/internal/eventbus": {"google.golang.org/grpc", "google.golang.org/protobuf"},
	"cdc/salesforce/salesforcetest": {
		"cdc/salesforce", "cdc/salesforce/internal/eventbus",
		"github.com/twmb/avro",
		"google.golang.org/grpc",
	},
	"remote/protobuf":     {"google.golang.org/protobuf"},
	"internal/episode":    {},
	"internal/script":     {redisClient},
	"internal/servertest": {},
}

// allowedTests may be imported by the tests of every package besides, and so may
// any package of ours.
var allowedTests = []string{
	"github.com/alicebob/miniredis/v2",
	"github.com/google/go-cmp",
	"go.uber.org/goleak",
	redisClient,
}

// free are the directories of programs, which import what they like.
var free = []string{"bench", "examples"}

const (
	redisClient = "github.com/redis/go-redis/v9"
	msgpack     = "github.com/vmihailenco/msgpack/v5"
	xxhash      = "github.com/cespare/xxhash/v2"
)

func TestImports(t *testing.T) {
	for _, f := range parseAll(t) {
		if slices.ContainsFunc(free, func(dir string) bool { return within(f.dir, dir) }) {
			continue
		}
		for _, imported := range f.imports {
			if !f.mayImport(imported) {
				t.Errorf("%s imports %s: the table in deps_test.go does not allow it", f.name, imported)
			}
		}
	}
}

// TestTierLinksLittle looks at everything behind tier, however far away.
func TestTierLinksLittle(t *testing.T) {
	for _, name := range []string{"go.mod", "go.sum"} { // so that the cached result of this test goes when they change
		if _, err := os.Stat(name); err != nil {
			t.Fatal(err)
		}
	}
	parseAll(t) // likewise
	cmd := exec.Command("go", "list", "-deps", "./tier")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps ./tier: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+"/remote") {
		t.Errorf("go list named %d packages, but not %s/remote", len(deps), module)
	}
	for _, heavy := range []string{
		"github.com/alicebob/miniredis", "github.com/google/go-cmp", "github.com/jackc", "go.uber.org/goleak",
		"google.golang.org/grpc", "google.golang.org/genproto", "github.com/twmb", module + "/cdc", module + "/internal/servertest", "testing",
	} {
		if i := slices.IndexFunc(deps, func(dep string) bool { return within(dep, heavy) }); i >= 0 {
			t.Errorf("a program that imports tier links %s", deps[i])
		}
	}
}

// TestPackageComments wants exactly one "Package x …" per package, or "Command
// x …" for a program.
func TestPackageComments(t *testing.T) {
	comments := map[string]int{} // by directory
	for _, f := range parseAll(t) {
		if f.test {
			continue
		}
		comments[f.dir] += 0
		if f.doc == "" {
			continue
		}
		comments[f.dir]++
		want := "Package " + f.pkg + " "
		if f.pkg == "main" {
			want = "Command " + path.Base(f.dir) + " "
		}
		if !strings.HasPrefix(f.doc, want) {
			t.Errorf("%s: the package comment does not begin with %q", f.name, want)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(comments)) {
		if n := comments[dir]; n != 1 {
			t.Errorf("%s: %d files have a package comment; want 1", dir, n)
		}
	}
}

// file is what the tests above need to know of a source file.
type file struct {
	name    string // from the root
	dir     string // of name; "." for the root
	pkg     string
	doc     string // the package comment
	imports []string
	test    bool
}

func (f *file) mayImport(imported string) bool {
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	if slices.ContainsFunc(allowed[f.dir], func(entry string) bool { return matches(imported, entry) }) {
		return true
	}
	return f.test && (within(imported, module) ||
		slices.ContainsFunc(allowedTests, func(entry string) bool { return within(imported, entry) }))
}

// matches takes an entry of the table as exactly one package of ours, or as
// somebody else's module with all of its packages.
func matches(imported, entry string) bool {
	if first, _, _ := strings.Cut(entry, "/"); strings.Contains(first, ".") {
		return within(imported, entry)
	}
	return imported == module+"/"+entry
}

func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// parseAll reads every Go file of every module, whatever its build tags.
func parseAll(t *testing.T) []*file {
	t.Helper()
	var files []*file
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		f, err := parse(filepath.ToSlash(name))
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func parse(name string) (*file, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return nil, err
	}
	f := &file{
		name: name,
		dir:  path.Dir(name),
		pkg:  parsed.Name.Name,
		doc:  parsed.Doc.Text(),
		test: strings.HasSuffix(name, "_test.go"),
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		f.imports = append(f.imports, imported)
	}
	return f, nil
}
