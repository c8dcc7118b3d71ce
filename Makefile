# steno: the targets that people and CI run. `make help` lists them.
GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
BIN     := bin/steno
CC_OK   := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo yes)
RACE    := $(if $(CC_OK),-race)
export CGO_ENABLED ?= $(if $(CC_OK),1,0)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/steno, static and without cgo
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/steno

.PHONY: run
run: build ## build and start the demo: server, model stub, sample traffic, offline
	$(BIN) demo

.PHONY: test
test: ## all Go tests, with the race detector where there is a C compiler
	$(GO) test $(RACE) -timeout 30m ./...

.PHONY: lint
lint: ## gofumpt, go vet, golangci-lint, generated files
	@out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go' | grep -v _templ.go)); test -z "$$out" || { echo "gofumpt -w is needed on:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(TOOL) golangci-lint run ./...

.PHONY: generate
generate: ## templates and the catalogue page
	$(TOOL) templ generate -path internal/console
	$(GO) generate ./...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each (default 10s)
	@sh test/fuzz.sh $${FUZZTIME:-10s}

.PHONY: test-clients
test-clients: build ## the official OpenAI and Anthropic SDKs for JavaScript through the gateway
	sh test/clients/run.sh $(abspath $(BIN))

.PHONY: test-wire
test-wire: ## recorded provider traffic, against an extraction in Python
	cd test/wire && $(GO) test -tags wire -count=1 ./...

.PHONY: test-browser
test-browser: build ## the console in a real browser
	sh test/browser/run.sh $(abspath $(BIN))

.PHONY: test-readme
test-readme: ## the README's first lines on a fresh clone with empty Go caches
	sh test/readme.sh

.PHONY: test-vectors
test-vectors: ## docs/format.md's questions, answered by a Python reader
	sh testdata/vectors/run.sh

.PHONY: test-kill
test-kill: build ## kill -9 under load (KILLS=200), strace of one call, growth, the hunt
	$(GO) test -tags e2e -count=1 -timeout 60m -v ./test/e2e/...

.PHONY: test-mutants
test-mutants: ## each sync and rename removed in turn must make a test fail
	sh test/mutants.sh

.PHONY: bench
bench: ## measure against the limits of the machine; writes docs/benchmarks.md
	$(GO) run -tags bench ./test/bench
