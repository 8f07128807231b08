package tandem_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandem-cache/tandem/internal/doctable"
)

// optionStructs are the structs whose every field has a row in docs/options.md, by directory.
var optionStructs = map[string][]string{
	"tier":           {"Config", "SpaceConfig", "KeyQuery"},
	"cdc":            {"FollowerConfig"},
	"cdc/postgres":   {"Config"},
	"cdc/salesforce": {"Config"},
}

// TestOptionsTable compares docs/options.md with the source: each field of the structs of options, and each function that makes a
// strategy, has one row with its type, no other row is there, and a default constant that is named there has the value that is told.
func TestOptionsTable(t *testing.T) {
	const file = "docs/options.md"
	tab := doctable.Read(t, file, "option", "type", "default", "unit")
	want := map[string]string{} // option → type
	constants := map[string]map[string]constant.Value{}
	for dir, structs := range optionStructs {
		src := parseSource(t, dir)
		constants[path.Base(dir)] = src.constants
		for _, name := range structs {
			fields := src.fieldsOf(name)
			if len(fields) == 0 {
				t.Errorf("%s: no struct %s", dir, name)
			}
			for field, kind := range fields {
				want[fmt.Sprintf("`%s.%s.%s`", path.Base(dir), name, field)] = "`" + kind + "`"
			}
		}
		for name, kind := range src.makersOf("Strategy") {
			want[fmt.Sprintf("`%s.%s`", path.Base(dir), name)] = "`" + kind + "`"
		}
	}
	for option, kind := range want {
		switch row := tab.Rows[option]; {
		case row == nil:
			t.Errorf("%s lacks a row for %s", file, option)
		case row[1] != kind:
			t.Errorf("%s: %s has the type %s; want %s", file, option, row[1], kind)
		}
	}
	for _, option := range tab.Order {
		if want[option] == "" {
			t.Errorf("%s: there is no option %s", file, option)
			continue
		}
		pkg, _, _ := strings.Cut(strings.Trim(option, "`"), ".")
		for _, cell := range tab.Rows[option][2:4] {
			checkConstants(t, option, cell, constants[pkg])
		}
	}
}

// toldConstant matches "100 ms (`DefaultRemoteTimeout`)".
var toldConstant = regexp.MustCompile("([0-9,]+)(?: ([A-Za-z]+))? \\(`([A-Za-z0-9]+)`\\)")

// checkConstants compares the constants that a cell names with those of the option's package.
func checkConstants(t *testing.T, option, cell string, constants map[string]constant.Value) {
	t.Helper()
	told := toldConstant.FindAllStringSubmatch(cell, -1)
	if named := strings.Count(cell, "(`"); named != len(told) {
		t.Errorf("%s: %q names %d constants, and tells the values of %d", option, cell, named, len(told))
	}
	for _, m := range told {
		unit, ok := units[m[2]]
		value := constant.BinaryOp(constant.MakeFromLiteral(strings.ReplaceAll(m[1], ",", ""), token.INT, 0), token.MUL, constant.MakeInt64(unit))
		switch got := constants[m[3]]; {
		case !ok:
			t.Errorf("%s: %q is no unit", option, m[2])
		case got == nil:
			t.Errorf("%s: there is no constant %s", option, m[3])
		case !constant.Compare(got, token.EQL, value):
			t.Errorf("%s: %s is %s; the table says %s", option, m[3], got, m[0])
		}
	}
}

var units = map[string]int64{
	"": 1, "KiB": 1 << 10, "MiB": 1 << 20,
	"ms": int64(time.Millisecond), "s": int64(time.Second), "min": int64(time.Minute),
}

// A source is the declarations of a package, tests left out.
type source struct {
	files     []*ast.File
	constants map[string]constant.Value // those of numbers, as far as literals, operators and time's units make them
}

func parseSource(t *testing.T, dir string) *source {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &source{constants: make(map[string]constant.Value)}
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			f, err := parser.ParseFile(token.NewFileSet(), path.Join(dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			s.files = append(s.files, f)
		}
	}
	for spec := range s.specs(token.CONST) {
		c := spec.(*ast.ValueSpec)
		for i, name := range c.Names {
			if i < len(c.Values) {
				if v := evaluate(c.Values[i]); v != nil {
					s.constants[name.Name] = v
				}
			}
		}
	}
	return s
}

// specs yields what the package declares by tok.
func (s *source) specs(tok token.Token) func(func(ast.Spec) bool) {
	return func(yield func(ast.Spec) bool) {
		for _, f := range s.files {
			for _, d := range f.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == tok {
					for _, spec := range g.Specs {
						if !yield(spec) {
							return
						}
					}
				}
			}
		}
	}
}

// fieldsOf returns the types of a struct's exported fields.
func (s *source) fieldsOf(name string) map[string]string {
	fields := make(map[string]string)
	for spec := range s.specs(token.TYPE) {
		declared := spec.(*ast.TypeSpec)
		body, ok := declared.Type.(*ast.StructType)
		if !ok || declared.Name.Name != name {
			continue
		}
		for _, f := range body.Fields.List {
			for _, n := range f.Names {
				if n.IsExported() {
					fields[n.Name] = types.ExprString(f.Type)
				}
			}
		}
	}
	return fields
}

// makersOf returns the types of the exported functions that return one value of a type.
func (s *source) makersOf(name string) map[string]string {
	makers := make(map[string]string)
	for _, f := range s.files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !fn.Name.IsExported() || fn.Type.Results.NumFields() != 1 {
				continue
			}
			if types.ExprString(fn.Type.Results.List[0].Type) == name {
				makers[fn.Name.Name] = types.ExprString(fn.Type)
			}
		}
	}
	return makers
}

// evaluate returns the value of a constant expression; nil: it is made of something else.
func evaluate(e ast.Expr) constant.Value {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.INT {
			return constant.MakeFromLiteral(e.Value, e.Kind, 0)
		}
	case *ast.ParenExpr:
		return evaluate(e.X)
	case *ast.SelectorExpr:
		units := []string{"time.Nanosecond", "time.Microsecond", "time.Millisecond", "time.Second", "time.Minute", "time.Hour"}
		values := []time.Duration{time.Nanosecond, time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour}
		if i := slices.Index(units, types.ExprString(e)); i >= 0 {
			return constant.MakeInt64(int64(values[i]))
		}
	case *ast.BinaryExpr:
		x, y := evaluate(e.X), evaluate(e.Y)
		if x == nil || y == nil {
			return nil
		}
		switch e.Op {
		case token.SHL:
			by, _ := constant.Uint64Val(y)
			return constant.Shift(x, token.SHL, uint(by))
		case token.ADD, token.SUB, token.MUL:
			return constant.BinaryOp(x, e.Op, y)
		}
	}
	return nil
}
