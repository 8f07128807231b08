package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// catalog is what the publication publishes at one moment.
type catalog struct {
	problem  string            // of the publication as a whole; "": none
	entities map[string]entity // by the name that events have
	padded   map[uint32]bool   // types that are char(n) by another name
}

// entity is a table that is published under a name of its own, with all that is published under it: its partitions.
type entity struct {
	oid     uint32
	sign    string // another one: something changed of which no event may tell
	limits  string // what of its changes the publication leaves out; "": nothing
	problem string // why not all of its changes arrive, whatever the publication says; "": they do
}

// look reads the catalog. It takes no lock on a table: one that is being rewritten does not hold it up.
func look(ctx context.Context, sql *pgx.Conn, publication string) (catalog, error) {
	c := catalog{entities: make(map[string]entity), padded: make(map[uint32]bool)}
	var complete bool
	var version int
	err := sql.QueryRow(ctx, `SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, current_setting('server_version_num')::int
		FROM pg_publication WHERE pubname = $1`, publication).Scan(&complete, &version)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		c.problem = fmt.Sprintf("publication %s is gone: create it again", quote(publication))
		return c, nil
	case err != nil:
		return c, fmt.Errorf("postgres: look for publication %q: %w", publication, err)
	case !complete:
		c.problem = fmt.Sprintf("publication %[1]s leaves out some kinds of change: ALTER PUBLICATION %[1]s SET (publish = 'insert, update, delete, truncate')",
			quote(publication))
	}
	rows, err := sql.Query(ctx, publishedQuery(version), publication)
	if err != nil {
		return c, fmt.Errorf("postgres: look what publication %q has: %w", publication, err)
	}
	var name string
	var e entity
	_, err = pgx.ForEachRow(rows, []any{&name, &e.oid, &e.sign, &e.limits, &e.problem}, func() error {
		c.entities[name] = e
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("postgres: look what publication %q has: %w", publication, err)
	}
	rows, err = sql.Query(ctx, paddedQuery)
	if err != nil {
		return c, fmt.Errorf("postgres: look for domains: %w", err)
	}
	var oid uint32
	if _, err = pgx.ForEachRow(rows, []any{&oid}, func() error { c.padded[oid] = true; return nil }); err != nil {
		return c, fmt.Errorf("postgres: look for domains: %w", err)
	}
	return c, nil
}

// print is short, and another one if one of the entities that are wanted, or what may change without an event, is another. It is a part of
// positions: what changed while nobody followed is noticed when the next follower compares.
func (c catalog) print(wanted func(string) bool) string {
	sum := crc32.NewIEEE()
	for _, name := range slices.Sorted(maps.Keys(c.entities)) {
		if wanted(name) {
			_, _ = fmt.Fprintf(sum, "%q %s\n", name, c.entities[name].sign) // a hash takes anything
		}
	}
	return fmt.Sprintf("%08x", sum.Sum32())
}

// paddedQuery finds the domains over char(n), and over those.
const paddedQuery = `
	WITH RECURSIVE d AS (
		SELECT oid FROM pg_type WHERE typtype = 'd' AND typbasetype = 'bpchar'::regtype
		UNION SELECT t.oid FROM pg_type t JOIN d ON t.typtype = 'd' AND t.typbasetype = d.oid)
	SELECT oid FROM d`

// publishedQuery asks what the publication $1 publishes, from the catalogs alone: pg_publication_tables opens each table on some versions.
//
//	member  tables that the publication names: one by one, by schema (from 15 on), or all
//	tree    each of them, and below a partitioned table its partitions
//	part    each table that is published, under the highest of its members
//	kinds   the types of its columns, and those that they are made of
//	kids    tables that a reader of a published one reads too, by inheritance
//
// What a sign is made of changes with a name, a column (its type, too, and so with each rewrite that alters a value), a label of an enum, a
// membership, and, of a table that is published under another's name, with its file: a truncate of that one is not sent. It does not change with
// VACUUM, FULL or not, ANALYZE, an index, a GRANT on a table.
func publishedQuery(version int) string {
	bySchema := ""
	if version >= 150000 {
		bySchema = `UNION ALL
		SELECT c.oid, 's' || pn.oid || ':' || pn.xmin, NULL
		FROM pg_publication_namespace pn JOIN pub ON pub.oid = pn.pnpubid JOIN pg_class c ON c.relnamespace = pn.pnnspid
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'`
	}
	return `WITH RECURSIVE pub AS (
		SELECT oid, oid || ':' || xmin AS how, puballtables, pubviaroot FROM pg_publication WHERE pubname = $1),
	member AS (
		SELECT pr.prrelid AS relid, 'r' || pr.oid || ':' || pr.xmin AS how,
		       nullif(concat_ws(' and ', CASE WHEN to_jsonb(pr) ->> 'prqual' IS NOT NULL THEN 'a row filter' END,
		                                 CASE WHEN to_jsonb(pr) ->> 'prattrs' IS NOT NULL THEN 'a column list' END), '') AS limits
		FROM pg_publication_rel pr JOIN pub ON pub.oid = pr.prpubid
		` + bySchema + `
		UNION ALL
		SELECT c.oid, 'a', NULL FROM pub JOIN pg_class c ON pub.puballtables
		WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.oid >= 16384 AND c.relnamespace <> 'pg_catalog'::regnamespace),
	tree AS (
		SELECT relid AS top, relid, 0 AS depth FROM (SELECT DISTINCT relid FROM member) m
		UNION ALL
		SELECT t.top, i.inhrelid, t.depth + 1
		FROM tree t JOIN pg_class c ON c.oid = t.relid AND c.relkind = 'p' JOIN pg_inherits i ON i.inhparent = t.relid),
	part AS (
		SELECT DISTINCT ON (t.relid) t.relid, t.top, CASE WHEN pub.pubviaroot THEN t.top ELSE t.relid END AS entity
		FROM tree t, pub ORDER BY t.relid, t.depth DESC),
	kinds AS (
		SELECT a.attrelid AS relid, a.atttypid AS kind FROM pg_attribute a JOIN part ON part.relid = a.attrelid
		WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384
		UNION
		SELECT k.relid, n.kind FROM kinds k JOIN pg_type y ON y.oid = k.kind, LATERAL (
			SELECT y.typbasetype WHERE y.typtype = 'd'
			UNION ALL SELECT y.typelem WHERE y.typelem <> 0
			UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = y.oid
			UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE y.typtype = 'c' AND a.attrelid = y.typrelid AND a.attnum > 0) n (kind)
		WHERE n.kind >= 16384),
	made AS (
		SELECT k.relid, e.oid || ':' || e.xmin AS how FROM kinds k JOIN pg_enum e ON e.enumtypid = k.kind
		UNION ALL
		SELECT k.relid, a.attrelid || '.' || a.attnum || ':' || a.xmin
		FROM kinds k JOIN pg_type y ON y.oid = k.kind AND y.typtype = 'c' JOIN pg_attribute a ON a.attrelid = y.typrelid AND a.attnum > 0),
	kids AS (
		SELECT p.relid, i.inhrelid AS kid FROM part p JOIN pg_class c ON c.oid = p.relid AND c.relkind = 'r' JOIN pg_inherits i ON i.inhparent = p.relid
		UNION SELECT k.relid, i.inhrelid FROM kids k JOIN pg_inherits i ON i.inhparent = k.kid),
	hidden AS (
		SELECT k.relid, 'its child ' || k.kid::regclass || ' is not published, and who reads the table reads it too' AS why
		FROM kids k JOIN pg_class c ON c.oid = k.kid AND c.relpersistence <> 't' WHERE NOT EXISTS (SELECT FROM part p WHERE p.relid = k.kid)
		UNION ALL
		SELECT p.relid, CASE c.relkind WHEN 'f' THEN 'its partition ' || p.relid::regclass || ' is a foreign table, whose changes are in no log here'
		       ELSE 'its partition ' || p.relid::regclass || ' is unlogged: ALTER TABLE … SET LOGGED' END
		FROM part p JOIN pg_class c ON c.oid = p.relid WHERE c.relkind = 'f' OR c.relpersistence <> 'p')
	SELECT n.nspname || '.' || c.relname, c.oid, md5(pub.how || string_agg(s.sign, ';' ORDER BY p.relid)),
	       coalesce(min(l.limits), ''), coalesce(min(h.why), '')
	FROM part p, pub, pg_class c, pg_namespace n, LATERAL (
		SELECT concat_ws(',', q.oid, q.relnamespace, q.relname, CASE WHEN p.relid <> p.entity THEN q.relfilenode END, q.relkind, q.relpersistence, q.relispartition, q.relrowsecurity,
		       (SELECT string_agg(m.how, ',' ORDER BY m.how) FROM member m WHERE m.relid = p.top),
		       (SELECT md5(string_agg(a.attnum || ':' || a.xmin, ',' ORDER BY a.attnum)) FROM pg_attribute a WHERE a.attrelid = q.oid AND a.attnum > 0),
		       (SELECT md5(string_agg(m.how, ',' ORDER BY m.how)) FROM made m WHERE m.relid = q.oid)) AS sign
		FROM pg_class q WHERE q.oid = p.relid) s
		LEFT JOIN LATERAL (SELECT min(m.limits) AS limits FROM member m WHERE m.relid = p.top) l ON true
		LEFT JOIN LATERAL (SELECT min(h.why) AS why FROM hidden h WHERE h.relid = p.relid) h ON true
	WHERE c.oid = p.entity AND n.oid = c.relnamespace AND (pub.pubviaroot OR c.relkind <> 'p')
	GROUP BY n.nspname, c.relname, c.oid, pub.how`
}
