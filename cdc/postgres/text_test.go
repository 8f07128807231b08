package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tandem-cache/tandem/internal/doctable"
)

// hostile are settings of a role that write values differently.
var hostile = []string{
	`datestyle = 'German, DMY'`, `timezone = 'Asia/Kolkata'`, `intervalstyle = 'sql_standard'`, `bytea_output = 'escape'`, `extra_float_digits = -8`,
	`search_path = 'pg_catalog, public'`, `quote_all_identifiers = on`, `client_encoding = 'LATIN1'`,
}

// The text of a value is that of the docs, whatever settings the role has, and those of the database.
func TestTextOfValues(t *testing.T) {
	tab := doctable.Read(t, "../../docs/cdc/postgres.md", "type", "written as", "arrives as")
	for name, settings := range map[string]string{"defaults": "", "role": "ROLE postgres", "database": "DATABASE postgres"} {
		t.Run(name, func(t *testing.T) {
			db := start(t)
			db.exec(`CREATE EXTENSION citext`, `CREATE DOMAIN country AS char(3)`, `CREATE TYPE mood AS ENUM ('ok')`)
			var columns, values []string
			want := make(map[string]string)
			for i, kind := range tab.Order {
				row, column := tab.Rows[kind], fmt.Sprintf("c%d", i)
				columns = append(columns, column+" "+strings.Trim(row[0], "`"))
				values = append(values, strings.Trim(row[1], "`"))
				want[column] = strings.Trim(row[2], "`")
			}
			db.exec(`CREATE TABLE texts (id int PRIMARY KEY, ` + strings.Join(columns, ", ") + `)`)
			if settings != "" {
				for _, s := range hostile {
					db.exec("ALTER " + settings + " SET " + s)
				}
			}
			st, _ := begin(t, db.source("public.texts"))
			db.exec(`INSERT INTO texts VALUES (1, ` + strings.Join(values, ", ") + `)`)
			got, _ := events(t, st, 1)
			for i, kind := range tab.Order {
				column := fmt.Sprintf("c%d", i)
				if v := got[0].Rows[0][column]; v != want[column] {
					t.Errorf("%s written as %s arrives as %q; the docs say %q", kind, values[i], v, want[column])
				}
			}
		})
	}
}
