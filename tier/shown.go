package tier

import (
	"fmt"
	"strconv"
	"strings"
)

// maxShown is how many bytes of a text an error or a log line shows: what somebody sends as an identifier may have any length.
const maxShown = 128

// shown quotes a text, the beginning of a long one.
func shown(text string) string {
	if len(text) <= maxShown {
		return strconv.Quote(text)
	}
	return fmt.Sprintf("%q… (%d bytes)", strings.ToValidUTF8(text[:maxShown], ""), len(text))
}

// beginning is shown without quotes.
func beginning(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:maxShown], ""), len(text))
}
