package salesforce

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// position is a place on one topic of one org: "<org id> <topic> <replay id, base64url>". A replay id means nothing anywhere else.
type position struct {
	org, topic string
	replay     []byte
}

func (p position) String() string {
	return p.org + " " + p.topic + " " + base64.RawURLEncoding.EncodeToString(p.replay)
}

// parsePosition takes exactly what String writes.
func parsePosition(s string) (position, error) {
	org, rest, _ := strings.Cut(s, " ")
	topic, text, _ := strings.Cut(rest, " ")
	replay, err := base64.RawURLEncoding.DecodeString(text)
	p := position{org: org, topic: topic, replay: replay}
	if err != nil || org == "" || topic == "" || len(replay) == 0 || p.String() != s {
		return position{}, fmt.Errorf("salesforce: position %.128q: want <org id> <topic> <replay id>", s)
	}
	return p, nil
}
