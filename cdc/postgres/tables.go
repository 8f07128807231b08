package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// entityOf returns the name that events give a table of Config.Tables: schema and table as they are, with a dot between. SQL's quotes are taken
// off: `"Odd"."Na""me"` is Odd.Na"me.
func entityOf(table string) (string, error) {
	if !strings.HasPrefix(table, `"`) {
		if schema, name, ok := strings.Cut(table, "."); !ok || schema == "" || name == "" {
			return "", fmt.Errorf(`postgres: Config.Tables: %q: want "schema.table"`, table)
		}
		return table, nil
	}
	schema, rest, ok := unquote(table)
	rest, dot := strings.CutPrefix(rest, ".")
	name := rest
	if ok && strings.HasPrefix(rest, `"`) {
		if name, rest, ok = unquote(rest); rest != "" {
			ok = false
		}
	}
	if !ok || !dot || schema == "" || name == "" {
		return "", fmt.Errorf(`postgres: Config.Tables: %q: want "schema"."table", each quote inside doubled`, table)
	}
	return schema + "." + name, nil
}

// unquote takes a quoted identifier off the beginning of s.
func unquote(s string) (name, rest string, ok bool) {
	s = s[1:]
	for {
		part, after, found := strings.Cut(s, `"`)
		name += part
		switch {
		case !found:
			return "", "", false
		case strings.HasPrefix(after, `"`):
			name, s = name+`"`, after[1:]
		default:
			return name, after, true
		}
	}
}

// table is what the server has under the name of an entity.
type table struct {
	quoted      string // as SQL writes it
	kind        string // pg_class.relkind
	persistence string
	identified  bool // its writers' UPDATE and DELETE work when it is published
	owned       bool // the role may publish it
}

// findTables returns those with the name of an entity: two, if there is a dot in the name of a schema and of another's table. None is an error.
func findTables(ctx context.Context, sql *pgx.Conn, name string) ([]table, error) {
	rows, err := sql.Query(ctx, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text, c.relpersistence::text,
		       CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false
		       WHEN 'i' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident)
		       ELSE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) END,
		       pg_has_role(c.relowner, 'USAGE')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname || '.' || c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`, name)
	if err != nil {
		return nil, fmt.Errorf("postgres: look for table %q: %w", name, err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t table, err error) {
		return t, row.Scan(&t.quoted, &t.kind, &t.persistence, &t.identified, &t.owned)
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("postgres: look for table %q: %w", name, err)
	case len(found) == 0:
		return nil, missingTable{name}
	}
	return found, nil
}

// missingTable is an error: there is no table of that name.
type missingTable struct{ name string }

func (m missingTable) Error() string {
	return fmt.Sprintf("postgres: Config.Tables: table %q doesn't exist", m.name)
}

// unpublishable is why a table can't be in any publication; "": it can.
func (t table) unpublishable() string {
	switch {
	case t.kind == "v":
		return "is a view: follow the tables that it is made of"
	case t.kind == "m":
		return "is a materialized view, whose refresh is not in the log: follow the tables that it is made of, and flush after a refresh"
	case t.kind == "f":
		return "is a foreign table, whose changes are not in the log of this server"
	case t.persistence == "u":
		return "is unlogged, and its changes are in no log: ALTER TABLE " + t.quoted + " SET LOGGED"
	case t.persistence == "t":
		return "is a temporary table"
	}
	return ""
}

// checkTables reports what keeps tables from being published by the source: that they don't exist or can't be, that the role may not, and
// that their writers would fail from then on. It returns their names in SQL.
func checkTables(ctx context.Context, sql *pgx.Conn, names []string) (quoted []string, err error) {
	var create bool
	if err := sql.QueryRow(ctx, `SELECT has_database_privilege(current_database(), 'CREATE')`).Scan(&create); err != nil {
		return nil, fmt.Errorf("postgres: ask about rights: %w", err)
	}
	var errs []error
	if !create {
		errs = append(errs, errors.New("postgres: the publication is missing, and the role may not create it: give it CREATE on the database and ownership of the tables, or CREATE PUBLICATION"))
	}
	for _, name := range names {
		found, err := findTables(ctx, sql, name)
		if _, none := errors.AsType[missingTable](err); err != nil && !none {
			return nil, err
		}
		errs = append(errs, err)
		if len(found) > 1 {
			errs = append(errs, fmt.Errorf("postgres: Config.Tables: %q is %s and %s: events couldn't tell them apart", name, found[0].quoted, found[1].quoted))
		}
		for _, t := range found {
			quoted = append(quoted, t.quoted)
			switch why := t.unpublishable(); {
			case why != "":
				errs = append(errs, fmt.Errorf("postgres: Config.Tables: %q %s", name, why))
			case !t.identified:
				errs = append(errs, fmt.Errorf("postgres: Config.Tables: %q has no primary key or other replica identity: once published, "+
					"its UPDATE and DELETE would fail; add a key, or ALTER TABLE %s REPLICA IDENTITY FULL", name, t.quoted))
			case !t.owned:
				errs = append(errs, fmt.Errorf("postgres: Config.Tables: the role doesn't own %q, and may not publish it: let its owner CREATE PUBLICATION", name))
			}
		}
	}
	return quoted, errors.Join(errs...)
}

// checkPublished reports the tables that the publication, which has what seen says, lacks.
func checkPublished(ctx context.Context, sql *pgx.Conn, cfg Config, seen catalog) error {
	var errs []error
	for _, name := range cfg.Tables {
		if _, ok := seen.entities[name]; ok {
			continue
		}
		found, err := findTables(ctx, sql, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, t := range found {
			if why := t.unpublishable(); why != "" {
				errs = append(errs, fmt.Errorf("postgres: Config.Tables: %q %s", name, why))
				continue
			}
			errs = append(errs, fmt.Errorf("postgres: Config.Tables: %q isn't in publication %q: ALTER PUBLICATION %s ADD TABLE %s "+
				"(a partitioned table also needs SET (publish_via_partition_root = true)), then flush the cache",
				name, cfg.Publication, quote(cfg.Publication), t.quoted))
		}
	}
	return errors.Join(errs...)
}
