package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A definition is a change of the followed table of which the stream says nothing, and what puts it right.
type definition struct {
	note       string
	begin, end []string
}

// definitions keep the rows as they are: the pods go on writing.
func definitions() []definition {
	return []definition{
		{
			"taken out of the publication",
			[]string{`ALTER PUBLICATION ` + slotName + ` DROP TABLE items`},
			[]string{`ALTER PUBLICATION ` + slotName + ` ADD TABLE items`},
		},
		{"swapped by rename", []string{`
			BEGIN;
			LOCK TABLE items IN ACCESS EXCLUSIVE MODE;
			CREATE TABLE items_new (LIKE items INCLUDING ALL);
			INSERT INTO items_new SELECT * FROM items;
			ALTER TABLE items RENAME TO items_old;
			ALTER TABLE items_new RENAME TO items;
			COMMIT`}, []string{`ALTER PUBLICATION ` + slotName + ` SET TABLE items`, `DROP TABLE items_old`}},
		{
			"rewritten",
			[]string{`ALTER TABLE items ALTER COLUMN shelf TYPE bigint USING shelf::bigint`},
			[]string{`ALTER TABLE items ALTER COLUMN shelf TYPE int USING shelf::int`},
		},
		{
			"published without updates",
			[]string{`ALTER PUBLICATION ` + slotName + ` SET (publish = 'insert')`},
			[]string{`ALTER PUBLICATION ` + slotName + ` SET (publish = 'insert, update, delete, truncate')`},
		},
	}
}

// alter changes the definition of the followed table under load, and puts it right again.
func alter(ctx context.Context, a *attempt) error {
	all := definitions()
	d := all[a.random.IntN(len(all))]
	a.Note = d.note
	run := func(ctx context.Context, statements []string) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, a.postgres.URL)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		for _, s := range statements {
			if _, err := conn.PgConn().Exec(ctx, s).ReadAll(); err != nil {
				return fmt.Errorf("%s: %w", d.note, err)
			}
		}
		return nil
	}
	if err := run(ctx, d.begin); err != nil {
		return err
	}
	wait := pause(ctx, a.lasts)
	if err := run(context.WithoutCancel(ctx), d.end); err != nil {
		return err
	}
	return wait
}
