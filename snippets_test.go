package tandem_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// snippetPackages are what the Go code in the docs may use without an import.
var snippetPackages = []string{
	"context", "errors", "fmt", "log", "log/slog", "net/http", "os", "slices", "strings", "testing", "time",
	redisClient, "github.com/prometheus/client_golang/prometheus",
	module + "/bus", module + "/cdc", module + "/cdc/cdctest", module + "/cdc/postgres", module + "/cdc/salesforce",
	module + "/cdc/salesforce/salesforcetest", module + "/local", module + "/remote", module + "/remote/protobuf", module + "/tier", module + "/tier/tiertest",
}

// TestSnippets type-checks the Go code of the docs and of the package comments. A name that a snippet leaves to its surroundings, such as
// rdb, is not looked at; a function, a field, a number of results that our packages don't have is an error.
func TestSnippets(t *testing.T) {
	imports := exportData(t)
	var found int
	for _, s := range append(docSnippets(t), packageSnippets(t)...) {
		found++
		if err := s.check(imports); err != nil {
			t.Errorf("%s: %v\n%s", s.where, err, s.code)
		}
	}
	if found < 25 {
		t.Errorf("%d snippets; want 25 or more: are they still found?", found)
	}
}

// TestSnippetsAreJudged shows that the check sees what docs get wrong, and nothing else.
func TestSnippetsAreJudged(t *testing.T) {
	imports := exportData(t)
	for code, wrong := range map[string]bool{
		"cache, err := tier.Open(ctx, tier.Config{Name: \"shop\", Redis: rdb})": false,
		"Codec: remote.JSON{},":                                                      false,
		"err = cache.InvalidateTag(ctx, \"product\", id)":                            false,
		"type Row struct{ ID string }\n\nfunc (r *Row) key() string { return r.ID }": false,
		"store, err := remote.New(client, \"shop\")":                                 true, // one result
		"cache, err := tier.Open(ctx, tier.Config{Title: \"shop\"})":                 true, // no such field
		"Codec: remote.JSON,":                                                        true, // a type
		"n := local.NewThing(ctx)":                                                   true, // no such function
		"cache, err := tier.Open(":                                                   true, // no Go
	} {
		if err := (snippet{code: code}).check(imports); (err != nil) != wrong {
			t.Errorf("%s\ngot %v; wrong is %t", code, err, wrong)
		}
	}
}

// A snippet is Go code that stands in a text.
type snippet struct{ where, code string }

// docSnippets returns the Go blocks of the Markdown files.
func docSnippets(t *testing.T) (all []snippet) {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, matches...)
	}
	block := regexp.MustCompile("(?ms)^ *```go\n(.*?)^ *```")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range block.FindAllSubmatchIndex(text, -1) {
			line := 1 + bytes.Count(text[:at[2]], []byte("\n"))
			all = append(all, snippet{fmt.Sprintf("%s:%d", file, line), string(text[at[2]:at[3]])})
		}
	}
	return all
}

// packageSnippets returns the code blocks of our packages' comments.
func packageSnippets(t *testing.T) (all []snippet) {
	t.Helper()
	for _, f := range parseAll(t) {
		if !slices.Contains(snippetPackages, module+"/"+f.dir) {
			continue
		}
		for _, b := range new(comment.Parser).Parse(f.doc).Content {
			if code, ok := b.(*comment.Code); ok {
				all = append(all, snippet{"the comment of package " + f.dir, code.Text})
			}
		}
	}
	return all
}

// forms are what a snippet may be: a file, declarations, statements, parts of a literal.
var forms = []struct{ before, after, first string }{
	{before: ""},
	{before: "package p\n"},
	{before: "package p\nfunc _() {\n", after: "\n}"},
	{before: "package p\nvar _ = cdc.Routes{\n", after: "\n}", first: `"`},
	{before: "package p\nvar _ = tier.SpaceConfig[any]{\n", after: "\n}"},
	{before: "package p\nvar _ = cdc.Route{\n", after: "\n}"},
}

// elided matches what stands for code that is left out.
var elided = regexp.MustCompile(`(?m)^\s*(\.\.\.|…)$|…`)

// check type-checks a snippet, in a form in which it parses and is right, or else in the first in which it parses.
func (s snippet) check(imports types.Importer) error {
	fset := token.NewFileSet()
	code := elided.ReplaceAllString(s.code, "")
	var syntax, wrong error
	for _, form := range forms {
		if !strings.HasPrefix(strings.TrimSpace(code), form.first) {
			continue
		}
		f, err := parser.ParseFile(fset, "snippet.go", form.before+code+form.after, parser.SkipObjectResolution)
		if err != nil {
			syntax = errors.Join(syntax, err)
			continue
		}
		err = checkTypes(fset, f, imports)
		if err == nil {
			return nil
		}
		wrong = cmp.Or(wrong, err)
	}
	return cmp.Or(wrong, syntax)
}

// checkTypes reports what is wrong with a file, but for what only its surroundings can know.
func checkTypes(fset *token.FileSet, f *ast.File, imports types.Importer) error {
	declare(f)
	surroundings := regexp.MustCompile(`^(undefined: \w+$|declared and not used|(missing|too many|not enough) return|".*" imported .*and not used|.* is not used$)`)
	var errs []error
	conf := types.Config{Importer: imports, Error: func(err error) {
		var e types.Error
		if errors.As(err, &e) && !surroundings.MatchString(e.Msg) {
			errs = append(errs, errors.New(e.Msg))
		}
	}}
	_, _ = conf.Check("p", fset, []*ast.File{f}, nil) // Error has heard them all
	return errors.Join(errs...)
}

// declare imports what a file uses and does not import.
func declare(f *ast.File) {
	has := make(map[string]bool)
	for _, spec := range f.Imports {
		has[strings.Trim(spec.Path.Value, `"`)] = true
	}
	var decls []ast.Decl
	for _, p := range snippetPackages {
		if has[p] {
			continue
		}
		spec := &ast.ImportSpec{Path: &ast.BasicLit{Kind: token.STRING, Value: `"` + p + `"`}}
		f.Imports = append(f.Imports, spec)
		decls = append(decls, &ast.GenDecl{Tok: token.IMPORT, Specs: []ast.Spec{spec}})
	}
	f.Decls = append(decls, f.Decls...)
}

// exportData compiles the packages that snippets use, and returns an importer of what the compiler says of them.
func exportData(t *testing.T) types.Importer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Export", "--"}, snippetPackages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := make(map[string]string)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(p string) (io.ReadCloser, error) {
		if exports[p] == "" {
			return nil, fmt.Errorf("%s (%s) is not among the packages of snippets", p, path.Base(p))
		}
		return os.Open(exports[p])
	})
}
