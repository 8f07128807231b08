package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// feedsTimeout is how long the program waits for its feeds before it says that something is wrong.
const feedsTimeout = 10 * time.Second

// A fleet is the pods and what they share.
type fleet struct {
	cfg     config
	redis   *redisServer
	store   store
	billing *billing
	pods    []*pod
}

// startFleet returns a fleet that serves, or an error and nothing left behind.
func startFleet(ctx context.Context, cfg config) (*fleet, error) {
	f := &fleet{cfg: cfg}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *fleet) start(ctx context.Context) error {
	var err error
	if f.store, err = openStore(ctx, f.cfg); err != nil {
		return err
	}
	if f.redis, err = openRedis(ctx, f.cfg); err != nil {
		return err
	}
	if f.billing, err = startBilling(ctx); err != nil {
		return err
	}
	for i := range f.cfg.pods {
		port := 0
		if f.cfg.port != 0 {
			port = f.cfg.port + i
		}
		p, err := startPod(ctx, podConfig{
			name:    fmt.Sprintf("pod-%d", i+1),
			addr:    net.JoinHostPort(f.cfg.host, strconv.Itoa(port)),
			redis:   f.redis.connect(),
			limit:   f.cfg.redisLimit,
			store:   f.store,
			billing: f.billing.client,
			log:     f.cfg.log,
		})
		if err != nil {
			return err
		}
		f.pods = append(f.pods, p)
	}
	return nil
}

// awaitFeeds waits until every feed is followed, here or by another process, and has done the flush that it begins with.
func (f *fleet) awaitFeeds(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, feedsTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		waiting := f.waitingFor()
		if waiting == "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s is not followed yet, see the log and GET /health: what it carries may be stale", waiting)
		}
	}
}

// waitingFor returns a feed that a pod neither follows nor stands by for; "": there is none.
func (f *fleet) waitingFor() string {
	for _, p := range f.pods {
		for feed, follower := range p.followers {
			if s := follower.Stats(); !s.Standby && (!s.Connected || s.Batches == 0) {
				return feed
			}
		}
	}
	return ""
}

// close ends the pods, all at once so that none takes over from another, and then what they share.
func (f *fleet) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	errs := make([]error, len(f.pods))
	var wg sync.WaitGroup
	for i, p := range f.pods {
		wg.Go(func() { errs[i] = p.close(ctx) })
	}
	wg.Wait()
	if f.billing != nil {
		errs = append(errs, f.billing.close())
	}
	if f.redis != nil {
		f.redis.close()
	}
	if f.store != nil {
		f.store.Close()
	}
	return errors.Join(errs...)
}
