# Everything that a contributor runs; `make` lists it. CI runs the same targets (.ci/run).

.SHELLFLAGS   := -eu -c
.DEFAULT_GOAL := help

# What the caller's environment says must not matter: GOFLAGS could change go.mod or what the tests print, and a workspace
# could bring other modules. The checkout may belong to another user, and then Go cannot ask git for the revision.
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

demo: ## run the whole way on sample data, without a network
	@go build -o bin/streamgate ./cmd/streamgate # not go run: it ends with an error after Ctrl-C
	@bin/streamgate demo

test: test-deps ## run all tests with the race detector, against a real Redis
	go test -race -parallel 6 ./... # the tests wait for servers more than they compute

test-servers: test-deps ## run the binding's tests once more with each newer server as the only one
	@for server in redis-8 valkey; do \
		if [ -x "bin/servers/$$server" ]; then \
			echo "go test ./protocol/redisstreams, with $$server"; \
			STREAMGATE_REDIS_SERVER="$(CURDIR)/bin/servers/$$server" go test -parallel 6 ./protocol/redisstreams; \
		fi; \
	done

test-deps: ## install what the tests need: redis-server, a C compiler, bash, curl; a new Redis and Valkey in bin/servers
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

floors: ## check who imports whom, and the other rules of internal/floors
	go test -count=1 ./internal/floors

bench: test-deps ## run the benchmarks; BENCH=regexp chooses
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

fuzz: test-deps ## run every fuzz target for FUZZTIME (10s)
	@for target in $$(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's/func //'); do \
		echo "fuzzing $${target#*:} in $$(dirname "$${target%%:*}")"; \
		go test -run '^$$' -fuzz "^$${target#*:}\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x "$$(dirname "$${target%%:*}")" </dev/null; \
	done

fault: test-deps ## run the scenarios of docs/reliability.md, about four minutes; FAULT=regexp chooses
	STREAMGATE_FAULTS=1 go test -count=1 -timeout 20m -parallel 4 -v -run '^TestFault.*($(FAULT))' ./cmd/streamgate

interop: ## run against others: a real STAC server, the SDKs for Python, JavaScript and Java, real redis-py, the binding in Python, the peers' own writers
	docs/interop/binding.sh
	docs/interop/origin.sh
	docs/interop/peers/run.sh
	docs/interop/sdks.sh
	docs/interop/run.sh
	docs/interop/watch.sh

ci: vet lint floors test test-servers ## run what CI runs
