# The commands of a contributor; `make` lists them. CI runs the same targets (.ci/run).

.SHELLFLAGS   := -eu -c
.DEFAULT_GOAL := help

# The caller's environment must not change the results: GOFLAGS could change go.mod or the output of tests, and a
# workspace could add modules. The checkout may belong to another user, and then Go cannot get the revision from git.
override GOFLAGS := -mod=readonly -buildvcs=false
export GOFLAGS
export GOWORK := off

GOLANGCI_VERSION := 2.15.0
GOLANGCI         := bin/golangci-lint
FUZZTIME         ?= 10s
BENCH            ?= .
FAULT            ?= .

.PHONY: help demo test test-servers test-deps build vet lint lint-deps floors bench fuzz fault interop ci

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## run the demo on sample data, without a network
	@go build -o bin/streamgate ./cmd/streamgate # not go run, which exits with an error after Ctrl-C
	@bin/streamgate demo

test: test-deps ## run all tests with the race detector, against a real Redis
	go test -race -parallel 6 ./... # more than the cores: tests mostly wait for servers

test-servers: test-deps ## run the binding's tests again, with each newer server in place of the installed one
	@for server in redis-8 valkey; do \
		if [ -x "bin/servers/$$server" ]; then \
			echo "go test ./protocol/redisstreams, with $$server"; \
			STREAMGATE_REDIS_SERVER="$(CURDIR)/bin/servers/$$server" go test -parallel 6 ./protocol/redisstreams; \
		fi; \
	done

test-deps: ## install redis-server, a C compiler, bash and curl, and newer servers into bin/servers
	@internal/tools/install-test-deps.sh
	@internal/tools/install-redis-versions.sh

build: ## build one static binary, bin/streamgate
	CGO_ENABLED=0 go build -tags timetzdata -buildvcs=auto -trimpath -ldflags '-s -w' -o bin/streamgate ./cmd/streamgate

vet: ## run go vet
	go vet ./...

lint: lint-deps ## run golangci-lint with .golangci.yml
	$(GOLANGCI) run ./...

lint-deps:
	@if [ "$$($(GOLANGCI) version --short 2>/dev/null)" != "$(GOLANGCI_VERSION)" ]; then \
		echo "installing golangci-lint $(GOLANGCI_VERSION) into bin/"; \
		GOBIN="$(CURDIR)/bin" go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION); \
	fi

floors: ## check the import rules and the other rules of internal/floors
	go test -count=1 ./internal/floors

bench: test-deps ## run the benchmarks; BENCH=regexp selects some
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

fuzz: test-deps ## run every fuzz target for FUZZTIME (10s)
	@for target in $$(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's/func //'); do \
		echo "fuzzing $${target#*:} in $$(dirname "$${target%%:*}")"; \
		go test -run '^$$' -fuzz "^$${target#*:}\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x \
			"$$(dirname "$${target%%:*}")" </dev/null; \
	done

fault: test-deps ## run the scenarios of docs/reliability.md, about four minutes; FAULT=regexp selects some
	STREAMGATE_FAULTS=1 go test -count=1 -timeout 20m -parallel 4 -v -run '^TestFault.*($(FAULT))' ./cmd/streamgate

interop: ## run against other software: a STAC server, SDKs in three languages, redis-py, other writers
	docs/interop/binding.sh
	docs/interop/origin.sh
	docs/interop/peers/run.sh
	docs/interop/sdks.sh
	docs/interop/run.sh
	docs/interop/watch.sh

ci: vet lint floors test test-servers ## run the checks of CI
