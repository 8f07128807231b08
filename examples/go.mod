module github.com/tandem-cache/tandem/examples

go 1.26.0

replace github.com/tandem-cache/tandem => ..
