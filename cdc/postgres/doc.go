// Package postgres is a [cdc.Source] for PostgreSQL: it follows a logical
// replication slot with the pgoutput plugin. It is tested against PostgreSQL 15.
//
// What holds:
//
//   - An event is handed over only when a new read on the primary sees the change.
//   - A batch that wasn't acknowledged comes again, and so does nothing else.
//   - Where changes may be missing, because the slot or the position is of no use,
//     the first batch is Lost. A slot made for it lasts only once that batch was
//     acknowledged.
//   - The server is answered while the follower is busy, and isn't kept from
//     shutting down.
//   - The log is released while nothing is published, and never past a batch that
//     wasn't acknowledged.
//   - What is received and not yet taken is bounded: twice MaxBatch events, 16 MiB
//     of text.
//
// What the server never sends, and what it must be set to, is in
// docs/cdc/postgres.md.
package postgres
