package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// A world is the servers, the proxies, the fleet and what has happened to them.
type world struct {
	o    options
	out  io.Writer
	dir  string
	kept bool // dir outlives the run
	log  *os.File

	master, replica *servertest.RedisServer
	dirs            map[*servertest.RedisServer]string
	link            *proxy                     // of the replication
	postgres        *servertest.PostgresServer // the primary
	standby         *servertest.PostgresServer // while a fault has one
	database        *proxy                     // before the primary, whichever it is
	databaseURL     string                     // through database
	pods, followers []*child

	history    *history // of the program's own probe
	began      instant
	faults     []*incident
	promotions []*promotion
	failovers  []*failover
}

func newWorld(ctx context.Context, o options, out io.Writer) (w *world, err error) {
	w = &world{o: o, out: out, dir: o.keep, kept: o.keep != "", dirs: make(map[*servertest.RedisServer]string)}
	if w.kept {
		err = os.MkdirAll(w.dir, 0o755)
	} else if w.dir, err = os.MkdirTemp("", "tandem-chaos-"); err == nil {
		err = os.Chmod(w.dir, 0o755) // PostgreSQL runs as another user where we are root
	}
	if err != nil {
		return nil, err
	}
	if err = errors.Join(w.startServers(ctx), w.makeFleet()); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) sub(name string) (string, error) {
	dir := filepath.Join(w.dir, name)
	return dir, os.Mkdir(dir, 0o755)
}

func (w *world) startServers(ctx context.Context) error {
	for i, server := range []**servertest.RedisServer{&w.master, &w.replica} {
		dir, err := w.sub("redis-" + strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		// The log is written before each answer, and never waits for the disk: a killed server has all that it acknowledged.
		*server, err = servertest.NewRedis(dir, "--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0",
			"--repl-diskless-sync-delay", "0", "--repl-timeout", "5", "--repl-ping-replica-period", "1")
		if err != nil {
			return err
		}
		w.dirs[*server] = dir
	}
	var err error
	if w.link, err = newProxy("replication", w.master.Addr); err != nil {
		return err
	}
	if err := w.replicate(ctx); err != nil {
		return err
	}
	dir, err := w.sub("postgres")
	if err != nil {
		return err
	}
	if w.postgres, err = servertest.NewPostgres(dir, "wal_sender_timeout=4s"); err != nil {
		return err
	}
	u, err := url.Parse(w.postgres.URL)
	if err != nil {
		return err
	}
	if w.database, err = newProxy("database", u.Host); err != nil {
		return err
	}
	u.Host = w.database.addr
	w.databaseURL = u.String()
	return w.fill(ctx)
}

func (w *world) fill(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, w.postgres.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, fmt.Sprintf(`
		CREATE TABLE items (id int PRIMARY KEY, shelf int NOT NULL, version bigint NOT NULL DEFAULT 1);
		INSERT INTO items SELECT id, CASE WHEN id <= %d THEN 1 + id %% %d ELSE 0 END FROM generate_series(1, %d) id;
		CREATE INDEX ON items (shelf);
		CREATE TABLE era (base bigint NOT NULL);
		INSERT INTO era VALUES (0)`, shelfRows, shelves, rows))
	return err
}

// replicate makes the replica follow the master, through the proxy, and waits until it does.
func (w *world) replicate(ctx context.Context) error {
	host, port := split(w.link.addr)
	client := redis.NewClient(&redis.Options{Addr: w.replica.Addr})
	defer func() { _ = client.Close() }()
	if err := client.ReplicaOf(ctx, host, port).Err(); err != nil {
		return err
	}
	return w.until(ctx, "replication", func() bool { return infoField(ctx, client, "replication", "master_link_status") == "up" })
}

func (w *world) makeFleet() error {
	var err error
	if w.log, err = os.Create(filepath.Join(w.dir, "fleet.log")); err != nil {
		return err
	}
	if w.history, err = newHistory(filepath.Join(w.dir, "probe"+historyExt)); err != nil {
		return err
	}
	for i := range w.o.pods {
		c, err := w.newChild("pod-"+strconv.Itoa(i+1), podCommand, i)
		if err != nil {
			return err
		}
		w.pods = append(w.pods, c)
	}
	for i := range 2 {
		c, err := w.newChild("follower-"+strconv.Itoa(i+1), followerCommand, i)
		if err != nil {
			return err
		}
		u, err := url.Parse(w.databaseURL)
		if err != nil {
			return err
		}
		if c.source, err = newProxy(c.name+" source", u.Host); err != nil {
			return err
		}
		u.Host = c.source.addr
		c.config.Postgres = u.String()
		w.followers = append(w.followers, c)
	}
	return nil
}

func (w *world) newChild(name, role string, number int) (*child, error) {
	p, err := newProxy(name, w.master.Addr)
	if err != nil {
		return nil, err
	}
	return &child{name: name, role: role, log: w.log, proxy: p, config: childConfig{
		Number: number, Redis: p.addr, Postgres: w.databaseURL, Seed: w.o.seed * uint64(100+number), Sabotage: w.o.sabotage,
	}}, nil
}

func (w *world) children() []*child { return append(append([]*child(nil), w.followers...), w.pods...) }

func (w *world) start() error {
	for _, c := range w.children() {
		if err := c.start(w.dir); err != nil {
			return err
		}
	}
	return nil
}

// until polls, for as long as a busy machine may need.
func (w *world) until(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for !done() {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (w *world) stopChildren() error {
	var errs []error
	for _, c := range w.children() {
		errs = append(errs, c.stop())
	}
	return errors.Join(append(errs, w.history.close())...)
}

// close ends whatever still runs.
func (w *world) close() error {
	var errs []error
	for _, c := range w.children() {
		if c.proc != nil {
			_ = c.proc.cmd.Process.Kill() // of a run that was broken off; else it is gone
			<-c.proc.gone
		}
		c.proxy.close()
		if c.source != nil {
			c.source.close()
		}
	}
	if w.link != nil {
		w.link.close()
	}
	for server := range w.dirs {
		errs = append(errs, server.Kill())
	}
	if w.database != nil {
		w.database.close()
	}
	for _, server := range []*servertest.PostgresServer{w.postgres, w.standby} {
		if server != nil {
			errs = append(errs, server.Kill())
		}
	}
	if w.log != nil {
		errs = append(errs, w.log.Close())
	}
	if !w.kept {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

// client returns a client of the master, without a proxy.
func (w *world) client() *redis.Client { return redis.NewClient(&redis.Options{Addr: w.master.Addr}) }

// A promotion is what is to be known of a change of masters.
type promotion struct {
	Held     instant       // the replica got nothing from here
	Cut      instant       // the old master got nothing from here
	Position uint64        // that the follower had reached by then
	Lost     int64         // broadcasts that the new master did not know
	Rewind   time.Duration // from Cut until the follower had passed Position again; 0: not before the end
}

// recordProbe writes versions of the probe rows, as no fault touches it.
func (w *world) recordProbe(ctx context.Context) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}()
	n := 0
	every(ctx, 100*time.Millisecond, func() {
		limited, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		var err error
		if conn == nil || conn.IsClosed() {
			if conn, err = pgx.Connect(limited, w.databaseURL); err != nil {
				conn = nil
				return
			}
		}
		n++
		_, err = raise(limited, conn, w.history, raiseItem, shelfRows+1+n%probeRows)
		if err != nil {
			slog.Debug("probe", "error", err) // a restart of the database is one of the faults
		}
	})
}
