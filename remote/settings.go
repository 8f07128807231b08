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
	Version   string // such as 7.0.15; "": it does not say
	Master    bool
	Unfenced  bool   // a master with replicas that would go on taking writes without them: min-replicas-to-write is not set. Of a cluster: never
	MaxMemory int64  // in bytes; 0: no limit
	Policy    string // what it evicts at MaxMemory: noeviction, allkeys-lru, …; "": it does not say
}

// Settings asks one server; of a cluster any. A user without the right to INFO gets an error.
func (s *Store) Settings(ctx context.Context) (Settings, error) {
	var server, replication, memory *redis.StringCmd
	err := s.exec(ctx, func(p redis.Pipeliner) {
		server, replication, memory = p.Info(ctx, "server"), p.Info(ctx, "replication"), p.Info(ctx, "memory")
	})
	if err != nil {
		return Settings{}, fmt.Errorf("remote: info: %w", err)
	}
	about := replication.Val()
	set := Settings{Version: infoField(server.Val(), "redis_version"), Master: infoField(about, "role") == "master", Policy: infoField(memory.Val(), "maxmemory_policy")}
	set.MaxMemory, _ = strconv.ParseInt(infoField(memory.Val(), "maxmemory"), 10, 64)
	fenced := strings.Contains(about, "min_slaves_good_slaves:") // a line that is there if it is set
	set.Unfenced = set.Master && !s.cluster && !fenced && infoField(about, "connected_slaves") != "0"
	return set, nil
}

// AtLeast reports whether the version is a major and minor one, or newer.
func (s Settings) AtLeast(version [2]int) bool {
	var major, minor int
	_, _ = fmt.Sscanf(s.Version, "%d.%d", &major, &minor)
	return major > version[0] || major == version[0] && minor >= version[1]
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
