package bus

import "time"

// Encode is the payload of m.
func Encode(m Message) ([]byte, error) { return encode(m) }

// OpenWithClocks is Open with other clocks.
func OpenWithClocks(cfg Config, clocks func() (wall, mono time.Duration)) *Bus {
	return open(cfg, func() instant {
		wall, mono := clocks()
		return instant{wall, mono}
	})
}
