# Targets for people; "make help" lists them. Everything a fresh machine needs
# besides Go, a C compiler for the race detector, npm and make is fetched by the targets themselves.

SHELL := bash
.SHELLFLAGS := -o pipefail -c

DATA_DIR ?= .data
CONFIG ?= config/embedded.yaml
FUZZ_TIME ?= 30s
BENCH_COUNT ?= 1
CHAOS_TIME ?= 60s
KAFKA ?= embedded
MEASURE_POINTS ?= 20000000
RELEASE ?= dev
export DATA_DIR CONFIG SHOPLINE_APP_SECRETS DEMO_EXIT

GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BENCHSTAT = go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The page that shows the dashboards, which the connector embeds. npm brings what
# it is built of and with.
WEB = dashboards/web
PAGE = $(WEB)/dist/app.js

$(WEB)/node_modules/.package-lock.json: $(WEB)/package.json $(WEB)/package-lock.json
	cd $(WEB) && npm ci --ignore-scripts --no-audit --no-fund --no-progress --loglevel=error
	@touch $@

$(PAGE): $(WEB)/node_modules/.package-lock.json $(WEB)/build.mjs $(WEB)/tsconfig.json $(shell find $(WEB)/src -type f)
	cd $(WEB) && npm run --silent build

.PHONY: build
build: $(PAGE) ## Build bin/connector
	go build -trimpath -ldflags '-X main.release=$(RELEASE)' -o bin/connector ./connector

.PHONY: demo
demo: build ## Run everything, send simulated webhooks and reconcile; DEMO_EXIT=1 ends afterwards
	bin/connector demo

.PHONY: run
run: build ## Run the service with everything embedded, until Ctrl-C
	bin/connector serve

.PHONY: test
test: build ## Run every test with the race detector, against the real engine and broker
	cd $(WEB) && npm test --silent
	go test -race -parallel 3 -timeout 20m ./...

.PHONY: test-browser
test-browser: build ## Test the dashboards in a browser; needs chromium
	go test -tags browser -count=1 -timeout 20m ./dashboards/browser

.PHONY: screenshots
screenshots: build ## Write docs/screenshots anew; needs chromium
	go run ./dashboards/screenshots

.PHONY: measure
measure: ## Ask every panel and view of 20 million events of points what it costs; MEASURE_POINTS for fewer
	go run ./dashboards/measure --dir $(DATA_DIR)/measure --points $(MEASURE_POINTS)

.PHONY: lint
lint: ## Run the linters
	$(GOLANGCI_LINT) run ./...

.PHONY: dashboards
dashboards: ## Write the Grafana dashboards anew, from their generator
	go generate ./dashboards

.PHONY: schemas
schemas: ## Write the JSON Schemas of the configuration and of contracts anew
	go generate ./config

.PHONY: fuzz
fuzz: ## Run each fuzzer for FUZZ_TIME
	@set -e; for package in $$(go list ./...); do \
	  list=$$(go test -list '^Fuzz' $$package); \
	  for fuzzer in $$(echo "$$list" | grep '^Fuzz' || true); do \
	    echo "$$package $$fuzzer"; \
	    go test -run '^$$' -fuzz "^$$fuzzer$$" -fuzztime $(FUZZ_TIME) $$package; \
	  done; \
	done

.PHONY: bench
bench: ## Run the benchmarks, the pipeline's last; with BENCH_COUNT of 6 or more, summarize them
	@mkdir -p bench
	go test -run '^$$' -bench . -benchmem -benchtime 200ms -count $(BENCH_COUNT) $$(go list ./... | grep -v connector/bench) | tee bench/latest.txt
	go test -run '^$$' -bench . -benchtime 1x -count $(BENCH_COUNT) ./connector/bench | tee -a bench/latest.txt
	@if [ $(BENCH_COUNT) -gt 1 ]; then $(BENCHSTAT) bench/latest.txt; fi

.PHONY: chaos
chaos: ## Kill, stop and cut off every part under load for CHAOS_TIME, then reconcile; needs postgresql; KAFKA=real for Apache Kafka
	go run ./connector/chaos --time $(CHAOS_TIME) --kafka $(KAFKA)

.PHONY: model
model: ## Check the model of the exactly-once protocol; needs spin
	docs/model/check.sh

.PHONY: kafka
kafka: ## Run Apache Kafka on this machine, until Ctrl-C; needs Java 17 and Maven
	go run ./connector/apachekafka/kafka --dir $(DATA_DIR)/kafka

.PHONY: test-kafka
test-kafka: ## Run the tests against Apache Kafka; needs Java 17 and Maven
	go test -race -tags apachekafka -count=1 -timeout 20m ./connector/apachekafka/...

.PHONY: test-postgres
test-postgres: ## Run the tests against PostgreSQL; needs Debian's package postgresql
	go test -race -tags postgres -count=1 -timeout 20m ./sinks/postgres/...
	go test -race -tags postgres -count=1 -timeout 20m -run 'Postgres|Application' ./connector ./connector/chaos
