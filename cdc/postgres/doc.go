// Package postgres is a [cdc.Source] for PostgreSQL 14 and later: it follows a
// logical replication slot with the pgoutput plugin.
package postgres
