package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// connectTimeout applies unless ConnString has one.
const connectTimeout = 10 * time.Second

// conns are the two connections of a stream: one that replicates and an ordinary
// one.
type conns struct {
	sql      *pgx.Conn
	repl     *pgconn.PgConn
	identity identity
	standby  bool // when identity was asked for, which is then that of the primary's log
}

// connect opens both, the ordinary one first: its errors are plainer.
func connect(ctx context.Context, cfg Config) (*conns, error) {
	c := new(conns)
	sql, err := connectSQL(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c.sql = sql
	repl, err := pgconn.ParseConfig(cfg.ConnString)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("postgres: Config.ConnString: %w", err), c.close(ctx))
	}
	adjust(repl, cfg, "database")
	if c.repl, err = pgconn.ConnectConfig(ctx, repl); err != nil {
		return nil, errors.Join(fmt.Errorf("postgres: connect for replication: %w", advise(err)), c.close(ctx))
	}
	if err := c.identify(ctx); err != nil {
		return nil, errors.Join(err, c.close(ctx))
	}
	if err := pin(ctx, c.repl); err != nil {
		return nil, errors.Join(err, c.close(ctx))
	}
	return c, nil
}

// connectSQL opens the ordinary connection alone.
func connectSQL(ctx context.Context, cfg Config) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(cfg.ConnString)
	if err != nil {
		return nil, fmt.Errorf("postgres: Config.ConnString: %w", err)
	}
	adjust(&c.Config, cfg, "")
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("postgres: connect: %w", advise(err))
	}
	if err := pin(ctx, conn.PgConn()); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// adjust sets what ConnString leaves open. replication "": an ordinary connection.
func adjust(c *pgconn.Config, cfg Config, replication string) {
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "tandem " + cfg.Slot
	}
	delete(c.RuntimeParams, "replication")
	if replication != "" {
		c.RuntimeParams["replication"] = replication
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
}

// close ends both connections and waits for what they leave behind.
func (c *conns) close(ctx context.Context) error {
	if c.repl != nil {
		_ = c.repl.Close(ctx) // a connection that is broken can't be closed well
	}
	if c.sql != nil {
		_ = c.sql.Close(ctx)
	}
	for _, conn := range []*pgconn.PgConn{c.repl, c.plain()} {
		if conn == nil {
			continue
		}
		select {
		case <-conn.CleanupDone():
		case <-ctx.Done():
			return fmt.Errorf("postgres: close: %w", ctx.Err())
		}
	}
	return nil
}

func (c *conns) plain() *pgconn.PgConn {
	if c.sql == nil {
		return nil
	}
	return c.sql.PgConn()
}
