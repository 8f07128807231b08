package postgres_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-cache/tandem/cdc/postgres"
)

// An update that comes with the whole old row says what it changed; any other says that it is unknown.
func TestChanged(t *testing.T) {
	db := start(t)
	db.exec(
		`CREATE TABLE plain (id int PRIMARY KEY, n int)`, `INSERT INTO plain VALUES (1, 1)`,
		`CREATE TABLE whole (id int PRIMARY KEY, n int, note text, big text)`, `ALTER TABLE whole REPLICA IDENTITY FULL`,
		`ALTER TABLE whole ALTER big SET STORAGE EXTERNAL`,
		`INSERT INTO whole VALUES (1, 1, 'a', repeat('x', 5000))`,
	)
	st, _ := begin(t, db.source("public.plain", "public.whole"))
	for _, step := range []struct {
		sql  string
		want []string
	}{
		{`UPDATE plain SET n = 2`, nil},
		{`UPDATE plain SET id = 2`, nil},
		{`UPDATE whole SET n = 2`, []string{"n"}},
		{`UPDATE whole SET n = n`, []string{}},
		{`UPDATE whole SET n = NULL, note = 'b'`, []string{"n", "note"}},
		{`UPDATE whole SET n = 3, note = ''`, []string{"n", "note"}},
		{`UPDATE whole SET big = repeat('y', 5000)`, []string{"big"}},
		{`UPDATE whole SET id = 2`, []string{"id"}},
		{`INSERT INTO whole VALUES (3)`, nil},
		{`DELETE FROM whole WHERE id = 3`, nil},
	} {
		db.exec(step.sql)
		got, _ := events(t, st, 1)
		if diff := cmp.Diff(step.want, got[0].Changed); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.sql, diff)
		}
	}
	db.exec(`ALTER TABLE whole ADD more int DEFAULT 7`, `UPDATE whole SET note = 'c'`)
	got, _ := events(t, st, 1)
	if diff := cmp.Diff([]string{"note"}, got[0].Changed); diff != "" {
		t.Errorf("after a column was added (-want +got):\n%s", diff)
	}
}

// Two numbers that differ are told apart, also where the role or the database has the server round what it prints.
func TestChangedInTheLastDigits(t *testing.T) {
	db := start(t)
	db.exec(
		`CREATE TABLE whole (id int PRIMARY KEY, n float8)`, `ALTER TABLE whole REPLICA IDENTITY FULL`,
		`ALTER ROLE CURRENT_USER SET extra_float_digits = -5`, `INSERT INTO whole VALUES (1, 1)`,
	)
	st, _ := begin(t, db.source("public.whole"))
	db.exec(`UPDATE whole SET n = 1.0000000000001`)
	got, _ := events(t, st, 1)
	if diff := cmp.Diff([]string{"n"}, got[0].Changed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The events of a transaction say so.
func TestTransaction(t *testing.T) {
	db := start(t)
	db.exec(`CREATE TABLE orders (id int PRIMARY KEY)`)
	st, _ := begin(t, db.source("public.orders"))
	db.exec(
		`BEGIN; INSERT INTO orders VALUES (1); SAVEPOINT s; INSERT INTO orders VALUES (2); COMMIT`, `BEGIN; INSERT INTO orders VALUES (3); TRUNCATE orders; COMMIT`,
	)
	got, _ := events(t, st, 4)
	for i, e := range got {
		if e.Transaction == "" || (e.Transaction == got[0].Transaction) != (i < 2) || (e.Transaction == got[3].Transaction) != (i >= 2) {
			t.Errorf("event %d is of the transaction %q; want the first two of one, the others of another", i, e.Transaction)
		}
	}
}

// A bulk update of a table of ten columns, 1,000 rows a transaction.
func BenchmarkDecode(b *testing.B) {
	for _, identity := range []string{"key", "full"} {
		b.Run(identity, func(b *testing.B) {
			const rows = 1000
			messages := bulk(rows, identity == "full")
			b.ReportAllocs()
			for b.Loop() {
				got, err := postgres.Decode(messages)
				if err != nil || len(got) != rows {
					b.Fatal(len(got), err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// bulk is what pgoutput sends for an update of n rows.
func bulk(n int, full bool) [][]byte {
	u16, u32, u64 := binary.BigEndian.AppendUint16, binary.BigEndian.AppendUint32, binary.BigEndian.AppendUint64
	const columns = 10
	relation := append(u32([]byte{'R'}, 1), "public\x00orders\x00d"...)
	relation = u16(relation, columns)
	for c := range columns {
		relation = append(append(relation, 1), fmt.Sprintf("column%d\x00", c)...)
		relation = u32(u32(relation, 25), ^uint32(0))
	}
	begin := u32(u64(u64([]byte{'B'}, 100), uint64(time.Now().UnixMicro())), 7)
	tuple := func(row, version int) (t []byte) {
		t = u16(t, columns)
		for c := range columns {
			value := fmt.Sprintf("value %d of %d", c, row)
			if c == 3 {
				value = fmt.Sprint(version)
			}
			t = append(u32(append(t, 't'), uint32(len(value))), value...)
		}
		return t
	}
	messages := [][]byte{begin, relation}
	for row := range n {
		m := u32([]byte{'U'}, 1)
		if full {
			m = append(append(m, 'O'), tuple(row, 1)...)
		}
		messages = append(messages, append(append(m, 'N'), tuple(row, 2)...))
	}
	commit := u64(u64(u64([]byte{'C', 0}, 100), 200), uint64(time.Now().UnixMicro()))
	return append(messages, commit)
}
