package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tandem-cache/tandem/internal/servertest"
)

// accountsPerScale is how many accounts pgbench makes for each unit of its scale.
const accountsPerScale = 100_000

// versionSQL makes every update of an account count: a balance may fall, a version may not.
const versionSQL = `
	ALTER TABLE pgbench_accounts ADD version bigint NOT NULL DEFAULT 0;
	CREATE OR REPLACE FUNCTION tandem_bench_version() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN NEW.version = OLD.version + 1; RETURN NEW; END';
	CREATE TRIGGER tandem_bench_version BEFORE UPDATE ON pgbench_accounts
		FOR EACH ROW EXECUTE FUNCTION tandem_bench_version();`

// hotScript updates accounts that are read all the time. Its transactions are one statement, so that they don't queue behind
// the built-in script's one branch.
const hotScript = `\set aid random_zipfian(1, %d, 1.05)
\set delta random(-5000, 5000)
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
`

// A pgbench writes to one database.
type pgbench struct {
	url     string
	dir     string // for the script
	clients int
}

// fill makes pgbench's tables, new if they exist, and the version.
func (b pgbench) fill(ctx context.Context, scale int) error {
	if _, err := b.run(ctx, "-i", "-q", "-s", strconv.Itoa(scale)); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, b.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, versionSQL); err != nil {
		return fmt.Errorf("make the version: %w", err)
	}
	return nil
}

var processed = regexp.MustCompile(`number of transactions actually processed: (\d+)`)

// load runs the built-in script and the hot one, one as often as the other, for at least a second, and returns how many
// transactions they made.
func (b pgbench) load(ctx context.Context, d time.Duration, hot int) (transactions int, err error) {
	script := filepath.Join(b.dir, "hot.sql")
	if err := os.WriteFile(script, fmt.Appendf(nil, hotScript, hot), 0o644); err != nil {
		return 0, err
	}
	out, err := b.run(ctx, "-n", "-c", strconv.Itoa(b.clients), "-j", "1", "-T", strconv.Itoa(max(1, int(d.Seconds()+0.5))),
		"-b", "tpcb-like@1", "-f", script+"@1")
	if err != nil {
		return 0, err
	}
	m := processed.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("pgbench did not say how much it did:\n%s", out)
	}
	return strconv.Atoi(string(m[1]))
}

func (b pgbench) run(ctx context.Context, args ...string) ([]byte, error) {
	path, err := servertest.Tool("pgbench")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, append(args, b.url)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("pgbench %s: %w\n%s", args[0], err, errs.Bytes())
	}
	return out.Bytes(), nil
}
