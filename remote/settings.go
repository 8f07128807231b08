package remote

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Settings are what Redis says of itself that the cache's promises rest on.
type Settings struct {
	Master    bool
	Unfenced  bool   // a master with replicas that would go on taking writes without them: min-replicas-to-write is not set. Of a cluster: never
	MaxMemory int64  // in bytes; 0: no limit
	Policy    string // what it evicts at MaxMemory: noeviction, allkeys-lru, …; "": it does not say
}

// Settings asks one server; of a cluster any. A user without the right to INFO gets an error.
func (s *Store) Settings(ctx context.Context) (Settings, error) {
	var replication, memory *redis.StringCmd
	err := s.exec(ctx, func(p redis.Pipeliner) {
		replication, memory = p.Info(ctx, "replication"), p.Info(ctx, "memory")
	})
	if err != nil {
		return Settings{}, fmt.Errorf("remote: info: %w", err)
	}
	about := replication.Val()
	set := Settings{Master: infoField(about, "role") == "master", Policy: infoField(memory.Val(), "maxmemory_policy")}
	set.MaxMemory, _ = strconv.ParseInt(infoField(memory.Val(), "maxmemory"), 10, 64)
	fenced := strings.Contains(about, "min_slaves_good_slaves:") // a line that is there if it is set
	set.Unfenced = set.Master && !s.cluster && !fenced && infoField(about, "connected_slaves") != "0"
	return set, nil
}

// Evicts reports whether a full Redis makes room for values without an expiry.
func (s Settings) Evicts() bool { return s.Policy == "" || strings.HasPrefix(s.Policy, "allkeys-") }

// infoField reads one field of INFO; "": it has none.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
