package tier

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// maxIDLen bounds identifiers and tags, in bytes.
const maxIDLen = 1024

// ID joins parts to an identifier, separated by colons. A byte of a part that has a meaning in a key (':', '%', '{', '}') or is
// a space or a control character is written as '%' and two hex digits, so that different parts never give the same identifier.
func ID(parts ...string) string {
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteByte(':')
		}
		escape(&b, part)
	}
	return b.String()
}

// Parts returns what was joined to id by [ID]: what a loader needs of an identifier of several parts. An identifier that ID did
// not make is parted at its colons and unescaped just so.
func Parts(id string) []string {
	parts := strings.Split(id, ":")
	for i, part := range parts {
		parts[i] = unescape(part)
	}
	return parts
}

func unescape(part string) string {
	if !strings.Contains(part, "%") {
		return part
	}
	var b strings.Builder
	for i := 0; i < len(part); i++ {
		if part[i] == '%' && i+2 < len(part) {
			if c, err := strconv.ParseUint(part[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(part[i])
	}
	return b.String()
}

func escape(b *strings.Builder, part string) {
	for i := range len(part) {
		switch c := part[i]; {
		case c <= ' ', c == 0x7f, c == ':', c == '%', c == '{', c == '}':
			fmt.Fprintf(b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
}

// Names are what can be invalidated. Each is a letter for its kind, a colon, and what it names; build them with [Key], [Tag],
// [Entity] and [SpaceName].
const (
	keyName    = "k:" // k:<space>:<id>: one entry
	tagName    = "t:" // t:<entity>:<id>: whatever depends on one row or object
	entityName = "e:" // e:<entity>: whatever depends on any of an entity
	spaceName  = "s:" // s:<space>: every entry of a space
	feedName   = "f:" // f:<feed>: every entry of the spaces that a feed covers
)

// Key is the name of one entry, for [Cache.Invalidate]: the identifier id in the space called space.
func Key(space, id string) string { return keyName + space + ":" + id }

// Tag is the name of whatever depends on one object, for [Cache.Invalidate]. See [DependsOn].
func Tag(entity, id string) string { return tagName + entity + ":" + id }

// Entity is the name of whatever depends on any object of an entity, for [Cache.Invalidate]: a truncated table, say.
func Entity(entity string) string { return entityName + entity }

// SpaceName is the name of every entry of a space, for [Cache.Invalidate].
func SpaceName(space string) string { return spaceName + space }

// kindOf is the part of a name that tells whom it concerns: of a key's its space, of a tag's its entity; other names are kinds.
// An identifier follows after a colon.
func kindOf(name string) string {
	switch {
	case strings.HasPrefix(name, keyName):
		if space, _, err := splitKey(name[len(keyName):]); err == nil {
			return name[:len(keyName)+len(space)]
		}
	case strings.HasPrefix(name, tagName):
		entity, _, _ := strings.Cut(name[len(tagName):], ":")
		return name[:len(tagName)+len(entity)]
	}
	return name
}

// runs yields names of one kind that follow each other. A feed's batch is one run or a few: what its names have in common is
// looked at once for each.
func runs(names []string) iter.Seq2[string, []string] {
	return func(yield func(kind string, run []string) bool) {
		for len(names) > 0 {
			kind, n := kindOf(names[0]), 1
			for kind != names[0] && n < len(names) && isOf(kind, names[n]) {
				n++
			}
			if !yield(kind, names[:n]) {
				return
			}
			names = names[n:]
		}
	}
}

// isOf says whether name is a kind, a colon and an identifier.
func isOf(kind, name string) bool {
	return len(name) > len(kind) && name[len(kind)] == ':' && name[:len(kind)] == kind
}

const maxBadNames = 8 // that one error lists

// checkNames says which of names are not ones that [Cache.Invalidate] takes.
func checkNames(names []string) error {
	var errs []error
	for kind, run := range runs(names) {
		wrong := checkKind(kind)
		for _, name := range run {
			err := wrong
			if err == nil {
				err = checkRest(kind, name[len(kind):])
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("tier: invalidate %s: %w", shown(name), err))
			}
			if len(errs) == maxBadNames {
				return errors.Join(append(errs, errors.New("tier: there may be more"))...)
			}
		}
	}
	return errors.Join(errs...)
}

func checkKind(kind string) error {
	rest := kind[min(2, len(kind)):]
	switch kind[:len(kind)-len(rest)] {
	case keyName, spaceName:
		return checkSpaceName(rest)
	case tagName, entityName:
		return checkWord("entity", rest)
	case feedName:
		return checkWord("feed", rest)
	default:
		return errors.New("not a name: build it with tier.Key, tier.Tag, tier.Entity or tier.SpaceName")
	}
}

// checkRest looks at what follows the kind in a name.
func checkRest(kind, rest string) error {
	switch id := strings.TrimPrefix(rest, ":"); kind[:2] {
	case keyName:
		return checkID(id)
	case tagName:
		return checkTagID(id)
	}
	return nil // nothing does
}

// splitKey parts domain:type:identifier after the second colon; an identifier may hold more of them.
func splitKey(key string) (space, id string, err error) {
	domain, rest, _ := strings.Cut(key, ":")
	kind, id, ok := strings.Cut(rest, ":")
	if !ok {
		return "", "", errors.New("a key reads domain:type:identifier")
	}
	return key[:len(domain)+1+len(kind)], id, nil
}

func checkID(id string) error {
	switch {
	case id == "":
		return errors.New("the identifier is empty")
	case len(id) > maxIDLen:
		return fmt.Errorf("the identifier has %d bytes: at most %d", len(id), maxIDLen)
	case strings.Contains(id, "{"), strings.Contains(id, "}"):
		return errors.New("the identifier has a brace, which would change its cluster slot: build it with tier.ID")
	}
	return nil
}

func checkTag(entity, id string) error {
	if err := checkWord("entity", entity); err != nil {
		return err
	}
	return checkTagID(id)
}

func checkTagID(id string) error {
	if id == "" || len(id) > maxIDLen {
		return fmt.Errorf("the id of a tag has 1 to %d bytes, not %d", maxIDLen, len(id))
	}
	return nil
}

// checkSpaceName accepts domain:type.
func checkSpaceName(name string) error {
	domain, kind, ok := strings.Cut(name, ":")
	if !ok {
		return fmt.Errorf("the space name %s has no colon: it reads domain:type, as in orders:account", shown(name))
	}
	return errors.Join(checkWord("domain", domain), checkWord("type", kind))
}

// checkWord accepts 1 to 64 letters, digits, '_', '-' and '.'.
func checkWord(what, word string) error {
	if word == "" || len(word) > 64 {
		return fmt.Errorf("the %s %s has %d bytes: 1 to 64", what, shown(word), len(word))
	}
	for _, c := range word { // no call in it: every name is checked where it is sent and where it is heard
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '_' && c != '-' && c != '.' {
			return fmt.Errorf("the %s %q has a %q: letters, digits, '_', '-' and '.' are allowed", what, word, c)
		}
	}
	return nil
}
