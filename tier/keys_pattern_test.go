package tier

import (
	"strings"
	"testing"
)

func mustPattern(t *testing.T, text, within string) pattern {
	t.Helper()
	p, err := parsePattern(text, within)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPatternMatches(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no []string
	}{
		{"*", []string{"", "a", "a:b:c"}, nil},
		{"orders:*", []string{"orders:", "orders:account:1"}, []string{"orders", "orders2:account:1", "xorders:a:b"}},
		{"a?c", []string{"abc", "a:c", "a?c"}, []string{"ac", "abbc"}},
		{"*:account:*", []string{"a:account:1", "a:b:account:1"}, []string{"a:accounts:1", "account:1"}},
		{"a*b*c", []string{"abc", "aXbbXbc", "abcbc"}, []string{"abcb", "acb"}},
		{"***a", []string{"a", "ba"}, []string{"ab"}},
		{"[ab]", []string{"[ab]"}, []string{"a", "b"}},
		{`a\*`, []string{`a\`, `a\b`}, []string{"a*", "ab"}},
		{`a\b`, []string{`a\b`}, []string{"ab"}},
		{"a[*]b", []string{"a*b"}, []string{"a[*]b", "a[x]b", "aXb"}},
		{"a[?]b", []string{"a?b"}, []string{"aXb", "a[?]b"}},
		{"[[*]]", []string{"[*]"}, []string{"[x]", "*"}},
		{"[**]", []string{"[]", "[x]", "[*]"}, []string{"*"}},
		{"é?", []string{"éa"}, []string{"é", "éé"}}, // bytes
	} {
		p := mustPattern(t, test.pattern, "")
		for _, s := range test.yes {
			if !p.match(s) {
				t.Errorf("%q does not match %q", test.pattern, s)
			}
		}
		for _, s := range test.no {
			if p.match(s) {
				t.Errorf("%q matches %q", test.pattern, s)
			}
		}
	}
}

func TestPatternInASpace(t *testing.T) {
	p := mustPattern(t, "jp_*", "orders:account")
	if !p.match("orders:account:jp_1") || p.match("orders:account:us_1") || p.match("jp_1") {
		t.Error("it is not over the identifiers of the space")
	}
}

func TestPatternCovers(t *testing.T) {
	for _, test := range []struct {
		pattern, space string
		want           bool
	}{
		{"*", "orders:account", true},
		{"orders:*", "orders:account", true},
		{"orders:acc*", "orders:account", true},
		{"orders:account:*", "orders:account", true},
		{"*:account:*", "orders:account", true},
		{"orders:????unt*", "orders:account", true},
		{"orders:*", "orders2:account", false},
		{"orders:account:a*", "orders:account", false},
		{"orders:account:*a", "orders:account", false},
		{"orders:account:1", "orders:account", false},
		{"orders:account[*]", "orders:account", false},
		{"*:address:*", "orders:account", false},
		{"*", "x:y", true},
	} {
		if got := mustPattern(t, test.pattern, "").covers(test.space); got != test.want {
			t.Errorf("%q covers %q: got %v; want %v", test.pattern, test.space, got, test.want)
		}
	}
}

func TestPatternsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{"": "empty", strings.Repeat("a", maxPattern+1): "4097 bytes"} {
		if _, err := parsePattern(text, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want an error with %q", err, want)
		}
	}
}

// Time must not explode with the number of runs, here or in Redis.
func TestPatternOfManyRuns(t *testing.T) {
	p := mustPattern(t, strings.Repeat("a*", 500)+"b", "")
	if p.match(strings.Repeat("a", 1000)) {
		t.Error("it matches what has no b")
	}
	if n := strings.Count(p.glob(), "*"); n != maxRuns {
		t.Errorf("Redis gets %d runs; want %d", n, maxRuns)
	}
}

// What matches is what Redis is asked for, or less.
func FuzzPattern(f *testing.F) {
	f.Add("a*b?[*]", "axxbc*")
	f.Add(`[a]\`, `[a]\`)
	f.Add("**?**", "x")
	f.Fuzz(func(t *testing.T, text, s string) {
		if !mustPattern(t, "a"+QuotePattern(s), "").match("a" + s) {
			t.Errorf("%q quoted does not match itself", s)
		}
		p, err := parsePattern(text, "")
		if err != nil {
			return
		}
		if p.match(s) != slowMatch(p, s) {
			t.Errorf("%q on %q: %v", text, s, p.match(s))
		}
	})
}

func slowMatch(p pattern, s string) bool {
	ends := map[int]bool{0: true} // of s, where p up to here may have come
	for _, g := range p {
		next := make(map[int]bool)
		for at := range ends {
			switch {
			case g == anyRun:
				for ; at <= len(s); at++ {
					next[at] = true
				}
			case at < len(s) && (g == anyByte || g == glyph(s[at])):
				next[at+1] = true
			}
		}
		ends = next
	}
	return ends[len(s)]
}
