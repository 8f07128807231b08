module github.com/tandem-cache/tandem/cdc/postgres

go 1.26.0

replace github.com/tandem-cache/tandem => ../..
