# Run `make` for the list of targets. Tools are pinned here and built into .bin/.

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.9.0

# To be set on the command line: the time limit of one package's tests, which
# benchmarks run and how often (ten for benchstat), and how long each fuzz test.
TEST_TIMEOUT ?= 25m
BENCH        ?= .
BENCH_COUNT  ?= 1
FUZZ_TIME    ?= 30s

# Tests that measure what a call costs: they need a quiet machine, say so, and run apart.
QUIET := ^TestHitCost$$

# Of sim: how many seeds, and the first of them (docs/simulation.md).
SEEDS ?= 2000
FIRST ?= 1

# Of chaos: how many pods, for how long, and which faults (docs/chaos.md).
PODS   ?= 3
FOR    ?= 60s
FAULTS ?= all
SEED   ?= 0

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A linter built with an older Go refuses newer code, so its Go is in its name.
GO_VERSION   := $(shell go env GOVERSION)
GOLANGCI_LINT = $(CURDIR)/.bin/golangci-lint-$(GOLANGCI_LINT_VERSION)-$(GO_VERSION)
GOVULNCHECK   = $(CURDIR)/.bin/govulncheck-$(GOVULNCHECK_VERSION)-$(GO_VERSION)

# $(call each_module,command): in every module of the workspace that has Go code,
# to the end even if one fails.
define each_module
	@status=0; for dir in $$(go list -m -f '{{.Dir}}'); do \
		cd "$$dir"; \
		packages=$$(go list -e ./...); \
		[[ -n "$$packages" ]] || continue; \
		echo "in .$${dir#$(CURDIR)}: $(strip $(1))"; \
		{ $(1); } || status=1; \
	done; exit $$status
endef

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: check
check: lint test ## What every commit passes: lint and test

.PHONY: test
test: servers ## All tests of all modules, with the race detector, on real servers
	go test -race -timeout $(TEST_TIMEOUT) work
	go test -count=1 -run '^TestSeeds$$' ./internal/sim # with the race detector a quarter of the seeds take as long
	go test -count=1 -run '$(QUIET)' ./bench # apart from all others, and without the race detector: what they measure is the machine's

.PHONY: servers
servers: ## Install what the tests need: redis-server, PostgreSQL, a C compiler
	@.ci/servers

.PHONY: lint
lint: $(GOLANGCI_LINT) ## golangci-lint and tidy go.mod files, in all modules
	$(call each_module,$(GOLANGCI_LINT) run --max-issues-per-linter=0 --max-same-issues=0 ./... && go mod tidy -diff)

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format all modules: gofumpt, and imports in three groups
	$(call each_module,$(GOLANGCI_LINT) fmt ./...)

.PHONY: bench
bench: servers ## Benchmarks of all modules: BENCH=regexp BENCH_COUNT=10
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(BENCH_COUNT) -timeout 0 work

.PHONY: fuzz
fuzz: ## Each fuzz test for FUZZ_TIME
	@git grep -lE '^func Fuzz' -- '*_test.go' | while read -r file; do \
		for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file"); do \
			(set -x; go test -run '^$$' -fuzz "^$$name\$$" -fuzzminimizetime 100x -fuzztime $(FUZZ_TIME) "./$$(dirname "$$file")"); \
		done; \
	done

.PHONY: mutants
mutants: servers ## Take each rule of the protocol out; its test must notice
	go run ./internal/mutants

.PHONY: model
model: ## Explore small worlds of the protocol, whole and without each rule
	go run ./internal/model

.PHONY: sim
sim: ## Simulated fleets under faults: SEEDS=2000 FIRST=1, and whether seeds that fail do so again
	@mkdir -p .bin && go test -c -o .bin/sim.test ./internal/sim
	@n=$$(nproc); pids=(); for ((i = 0; i < n; i++)); do \
		.bin/sim.test -test.run '^TestSeeds$$' -test.timeout 0 -first $$(($(FIRST) + i)) -every $$n -seeds $$((($(SEEDS) + n - 1 - i) / n)) & pids+=($$!); \
	done; status=0; for pid in "$${pids[@]}"; do wait $$pid || status=1; done; exit $$status
	.bin/sim.test -test.run '^TestFailingSeedsFailAgain$$' -failures 20

.PHONY: chaos
chaos: servers ## Real servers and processes under faults: PODS=8 FOR=15m FAULTS=all
	go run ./bench/chaos -pods $(PODS) -for $(FOR) -faults $(FAULTS) -seed $(SEED) $(CHAOS_FLAGS)

.PHONY: vuln
vuln: $(GOVULNCHECK) ## Known vulnerabilities; asks vuln.go.dev
	$(call each_module,$(GOVULNCHECK) ./...)

.PHONY: clean
clean: ## Remove the tools and what tests and benchmarks left
	rm -rf .bin
	find . -name '*.test' -delete -o -name '*.prof' -delete

# $(call build_tool,package@version)
define build_tool
	@mkdir -p .bin/tmp
	GOWORK=off GOTOOLCHAIN=$(GO_VERSION) GOBIN=$(CURDIR)/.bin/tmp go install $(1)
	@mv .bin/tmp/* $@ && rmdir .bin/tmp
endef

$(GOLANGCI_LINT):
	$(call build_tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION))

$(GOVULNCHECK):
	$(call build_tool,golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION))
