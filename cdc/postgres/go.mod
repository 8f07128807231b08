module github.com/tandem-cache/tandem/cdc/postgres

go 1.26.0

replace github.com/tandem-cache/tandem => ../..

require (
	github.com/google/go-cmp v0.7.0
	github.com/jackc/pgx/v5 v5.12.0
	github.com/tandem-cache/tandem v0.0.0-00010101000000-000000000000
)

require github.com/jackc/pgio v1.0.0 // indirect

require (
	github.com/jackc/pglogrepl v0.0.0-20251213150135-2e8d0df862c1
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	go.uber.org/goleak v1.3.0
	golang.org/x/text v0.41.0 // indirect
)
