package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// ScanCount is how many keys of the database one [Scanner.Next] looks at, about. Redis does nothing else meanwhile, nor while it runs a
// pipeline about the keys found: how long other clients wait rests on this more than on the number of calls a second.
const ScanCount = 20

// A Scanner walks through the keys of a cache on every master, one after the other, with SCAN. It is for one goroutine.
//
// A key that is there all the time is found. One that comes or goes meanwhile may be; one may be found twice, when Redis makes its table
// larger or smaller, or a cluster moves its slot, which may also hide it.
type Scanner struct {
	store   *Store
	match   string
	masters []scanned // nil: not begun
	at      int       // of masters
	cursor  uint64    // on that master; 0: its first page
	looked  int
	total   int
}

// scanned is a master and the identity that it had when the scan began; "" where it tells none.
type scanned struct {
	client *redis.Client
	server string
}

// Scanner begins a walk through the keys that match glob, as Redis reads it, after the cache's name. Keys that are no entry are among
// them: the counter, the table, the journal.
func (s *Store) Scanner(glob string) *Scanner {
	return &Scanner{store: s, match: s.prefix + glob} // a name has no byte that a glob reads as another
}

// Next returns the next keys, without the cache's name and each once, and whether there may be more. It makes one call, and some at
// both ends of a master. After an error it may be called again: it begins with the page that failed.
func (sc *Scanner) Next(ctx context.Context) (keys []string, more bool, err error) {
	if sc.masters == nil {
		if err := sc.begin(ctx); err != nil {
			return nil, false, fmt.Errorf("remote: scan: %w", err)
		}
	}
	m := sc.masters[sc.at]
	found, cursor, err := m.client.Scan(ctx, sc.cursor, sc.match, ScanCount).Result()
	if err == nil && cursor == 0 {
		err = m.unchanged(ctx)
	}
	if err != nil {
		return nil, false, fmt.Errorf("remote: scan: %w", err)
	}
	sc.cursor = cursor
	sc.looked = min(sc.looked+ScanCount, sc.total)
	if cursor == 0 {
		sc.at++
	}
	more = sc.at < len(sc.masters)
	if !more {
		sc.looked = sc.total
	}
	slices.Sort(found)
	keys = found[:0]
	for _, key := range slices.Compact(found) {
		keys = append(keys, strings.TrimPrefix(key, sc.store.prefix))
	}
	return keys, more, nil
}

// Progress is how many keys were looked at, about, and how many the databases held when the scan began, other caches' too.
func (sc *Scanner) Progress() (looked, total int) { return sc.looked, sc.total }

// begin lists the masters.
func (sc *Scanner) begin(ctx context.Context) error {
	var masters []scanned
	total := 0
	var mu sync.Mutex // guards both: ForEachMaster calls from many goroutines
	add := func(ctx context.Context, client *redis.Client) error {
		size, err := client.DBSize(ctx).Result()
		if err != nil {
			return err
		}
		server, err := serverOf(ctx, client)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		masters, total = append(masters, scanned{client, server}), total+int(size)
		return nil
	}
	var err error
	switch c := sc.store.client.(type) {
	case *redis.Client:
		err = add(ctx, c)
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, add)
	default:
		err = fmt.Errorf("%T is not supported", c)
	}
	if err == nil && len(masters) == 0 {
		err = errors.New("the cluster has no master")
	}
	if err != nil {
		return err
	}
	slices.SortFunc(masters, func(a, b scanned) int { return cmp.Compare(a.client.Options().Addr, b.client.Options().Addr) })
	sc.masters, sc.total = masters, total
	return nil
}

// unchanged is an error when another server answers than at the beginning: a cursor means nothing to it, since each orders its keys
// in its own way.
func (m scanned) unchanged(ctx context.Context) error {
	server, err := serverOf(ctx, m.client)
	if err == nil && server != m.server {
		err = errors.New("the server was restarted or replaced meanwhile, keys may have been left out: begin again")
	}
	return err
}

// serverOf is the identity of the process that answers; "" where it is not told.
func serverOf(ctx context.Context, client *redis.Client) (string, error) {
	info, err := client.Info(ctx, "server").Result()
	if _, refused := errors.AsType[redis.Error](err); refused {
		return "", nil
	}
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "run_id:"); ok {
			return strings.TrimSpace(id), err
		}
	}
	return "", err
}
