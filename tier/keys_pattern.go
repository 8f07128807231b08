package tier

import (
	"errors"
	"fmt"
	"strings"
)

// maxPattern bounds patterns, in bytes: the longest key, each byte of it quoted.
const maxPattern = 4096

// QuotePattern returns the pattern that matches s alone, for a part of a [KeyQuery]'s Pattern that is to be taken as it is: each '*'
// and '?' in it becomes "[*]" and "[?]".
func QuotePattern(s string) string { return quoter.Replace(s) }

var quoter = strings.NewReplacer("*", "[*]", "?", "[?]")

// A pattern is what is to match, byte by byte.
type pattern []glyph

// A glyph is a byte, or one of the wildcards.
type glyph uint16

const (
	anyByte glyph = 0x100 + iota // one, whichever
	anyRun                       // any number of any
)

// parsePattern reads a KeyQuery's Pattern, after the name of a space and a colon where within is one.
func parsePattern(text, within string) (pattern, error) {
	switch {
	case text == "":
		return nil, errors.New(`KeyQuery.Pattern is empty: "*" is every key`)
	case len(text) > maxPattern:
		return nil, fmt.Errorf("KeyQuery.Pattern has %d bytes: at most %d", len(text), maxPattern)
	case within != "":
		text = within + ":" + text
	}
	p := make(pattern, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch rest := text[i:]; {
		case strings.HasPrefix(rest, "[*]"), strings.HasPrefix(rest, "[?]"):
			p = append(p, glyph(rest[1]))
			i += 2
		case rest[0] == '?':
			p = append(p, anyByte)
		case rest[0] != '*':
			p = append(p, glyph(rest[0]))
		case len(p) == 0 || p[len(p)-1] != anyRun:
			p = append(p, anyRun)
		}
	}
	return p, nil
}

// match says whether p matches the whole of s. It takes at most len(p) × len(s) steps: where a run matched too little it goes back to
// the last one only.
func (p pattern) match(s string) bool {
	at, run, resume := 0, -1, 0 // of p; the last run in p, and where in s it ends for now
	for i := 0; i < len(s); {
		switch {
		case at < len(p) && p[at] == anyRun:
			run, resume = at, i
			at++
		case at < len(p) && (p[at] == anyByte || p[at] == glyph(s[i])):
			at++
			i++
		case run >= 0:
			resume++
			at, i = run+1, resume
		default:
			return false
		}
	}
	for at < len(p) && p[at] == anyRun {
		at++
	}
	return at == len(p)
}

// covers says whether p matches every key of a space: it ends with a run, and what is before that matches the beginning of the
// space's name and its colon.
func (p pattern) covers(space string) bool {
	if len(p) == 0 || p[len(p)-1] != anyRun {
		return false
	}
	space += ":"
	for n := range len(space) + 1 {
		if p[:len(p)-1].match(space[:n]) {
			return true
		}
	}
	return false
}

// maxRuns bounds what Redis is asked to match: old servers need time exponential in the number of runs.
const maxRuns = 3

// glob is p as Redis reads it. It may match more: what comes after maxRuns runs is left to match.
func (p pattern) glob() string {
	var b strings.Builder
	runs := 0
	for _, g := range p {
		switch {
		case g == anyRun:
			b.WriteByte('*')
			if runs++; runs == maxRuns {
				return b.String()
			}
		case g == anyByte:
			b.WriteByte('?')
		case strings.ContainsRune(`*?[]\`, rune(g)):
			b.WriteByte('\\')
			b.WriteByte(byte(g))
		default:
			b.WriteByte(byte(g))
		}
	}
	return b.String()
}
