# Everything runs from a bare checkout: the targets set up what they need, once, under .venv and .cache.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .cache/tools
BUF_VERSION := 1.75.0
PROTOC_GEN_GO_VERSION := v1.36.12
PROTOC_GEN_GO_GRPC_VERSION := v1.6.2
GRPCURL_VERSION := v1.9.3
# The last release whose proto is kept under tests/compat: nothing may break a program that was made for it.
RELEASED := v0.1.0
HEALTH_PROBE_VERSION := v0.4.61
GHZ_VERSION := v0.93.0
KUSTOMIZE_VERSION := v5.7.1
TS_PROTO := clients/typescript/node_modules/.package-lock.json

.PHONY: help
help: ## Show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-11s %s\n", $$1, $$2}'

$(BIN)/.ready: requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.PHONY: setup
setup: $(BIN)/.ready ## Make the virtual environment

.PHONY: demo
demo: $(BIN)/.ready ## Gateway, emulator, a round trip from Python, and a consumer in Go where Go is here
	PYTHON=$(BIN)/python scripts/demo

.PHONY: serve
serve: $(BIN)/.ready ## A gateway with the embedded emulator, until Ctrl-C
	$(BIN)/dis-gateway serve --dev --log-format text

.PHONY: test
test: test-python test-go ## Run every test

.PHONY: test-python
test-python: $(BIN)/.ready
	$(BIN)/python -m pytest -q

# Without Go these tests are left out, and said to be; on CI (REQUIRE_GO=1) that is a failure.
.PHONY: test-go
ifneq ($(REQUIRE_GO)$(shell command -v go),)
test-go: $(BIN)/.ready $(TOOLS)/grpcurl
	PYTHON=$(BIN)/python TOOLS=$(TOOLS) scripts/test-go
else
test-go:
	@echo "make test: there is no Go toolchain here, so the tests from Go are left out"
endif

# Without the toolchain of a language it is left out, and what to install is said; with REQUIRE_ALL=1 (on CI) that is a
# failure. Needs no root.
.PHONY: conformance
conformance: $(BIN)/.ready ## Build and test every client, hold the transcript with each, give its example trouble
	$(BIN)/python -m clients.conformance $(LANGUAGES)

.PHONY: test-tools
test-tools: $(BIN)/.ready $(TOOLS)/buf $(TOOLS)/grpcurl $(TOOLS)/grpc-health-probe $(TOOLS)/ghz ## Other people's tools against a gateway, and a proxy in between (needs Go)
	$(BIN)/python scripts/test-tools $(TOOLS)

.PHONY: lint
lint: $(BIN)/.ready $(TOOLS)/buf ## Style, types, layering, proto, and that the proto breaks no program of the last release
	$(BIN)/ruff check --no-cache . scripts/audit scripts/document scripts/image-test scripts/mutants scripts/test-tools scripts/torture
	$(BIN)/ruff format --check . scripts/audit scripts/document scripts/image-test scripts/mutants scripts/test-tools scripts/torture
	$(BIN)/mypy
	$(BIN)/lint-imports
	mkdir -p .cache/googleapis/google/rpc
	cp $(VENV)/lib/python3*/site-packages/google/rpc/status.proto .cache/googleapis/google/rpc/
	$(TOOLS)/buf lint
	$(TOOLS)/buf format -d --exit-code protos
	$(BIN)/python -m grpc_tools.protoc -I tests/compat/$(RELEASED) -I .cache/googleapis --include_imports --include_source_info \
	  --descriptor_set_out=.cache/released.binpb disgateway/v1/checkpoint.proto
	$(TOOLS)/buf build -o .cache/now.binpb
	$(TOOLS)/buf breaking .cache/now.binpb --against .cache/released.binpb --exclude-imports

.PHONY: proto
proto: $(BIN)/.ready $(TOOLS)/protoc-gen-go $(TS_PROTO) ## Generate the committed stubs anew
	PYTHON=$(BIN)/python TOOLS=$(TOOLS) scripts/generate

.PHONY: proto-check
proto-check: $(BIN)/.ready $(TOOLS)/protoc-gen-go $(TS_PROTO) ## Fail if the committed stubs are not what the proto says
	PYTHON=$(BIN)/python TOOLS=$(TOOLS) scripts/generate --check

.PHONY: fuzz
fuzz: $(BIN)/.ready ## 100,000 random and mutated answers of DIS
	FUZZ_CASES=25000 $(BIN)/python -m pytest -q tests/fuzz

# Tells what could not be asked, too; on CI (AUDIT_REQUIRED=1) that is a failure.
.PHONY: audit
audit: .cache/audit/.ready ## Ask for known vulnerabilities of every pinned dependency
	$(PYTHON) scripts/audit .cache/audit/bin/pip-audit

.cache/audit/.ready: requirements/audit.txt
	test -x .cache/audit/bin/python || $(PYTHON) -m venv .cache/audit
	.cache/audit/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/audit.txt
	touch $@

.PHONY: mutants
mutants: $(BIN)/.ready ## Small sabotages of the code, each of which the tests must notice
	$(BIN)/python scripts/mutants

.PHONY: torture
torture: $(BIN)/.ready ## Stop a gateway at random moments, 100 times each by SIGTERM and SIGKILL, while callers commit
	$(BIN)/python scripts/torture

BENCH_LOAD := .cache/bench-load

$(BENCH_LOAD): $(wildcard bench/load/*.go bench/load/go.*) $(wildcard clients/go/disgateway/v1/*.go)
	@command -v go >/dev/null || { echo "make bench: there is no Go toolchain here, and the load and some peers are in Go" >&2; exit 1; }
	cd bench/load && go build -o ../../$@ .

.PHONY: bench bench-quick bench-check
bench: $(BIN)/.ready $(BENCH_LOAD) ## Measure beside peers, and write docs/performance.md (needs Go)
	$(BIN)/python -m bench.page

bench-quick: $(BIN)/.ready $(BENCH_LOAD) ## The same in shorter turns; writes nothing
	$(BIN)/python -m bench.page --quick

bench-check: $(BIN)/.ready $(BENCH_LOAD) ## As quick, and fails where a ratio is far worse than its goal
	$(BIN)/python -m bench.page --check

.PHONY: hour
hour: $(BIN)/.ready ## An hour of each trouble with DIS, simulated; writes docs/resilience.md
	$(BIN)/python -m bench.hour

.PHONY: hour-check
hour-check: $(BIN)/.ready
	$(BIN)/python -m bench.hour --check

.PHONY: docs
docs: $(BIN)/.ready ## Write the pages anew that are made from the code
	$(BIN)/python scripts/document

.PHONY: docs-check
docs-check: $(BIN)/.ready
	$(BIN)/python scripts/document --check

# As root, with Debian's buildah and debootstrap: scripts/image says what is missing, and on CI installs it.
.PHONY: image
image: $(BIN)/.ready ## Build the container image, where no registry of images can be reached
	PYTHON=$(BIN)/python scripts/image

.PHONY: image-test
image-test: $(BIN)/.ready ## Build the image, and make calls through a gateway that runs in it
	PYTHON=$(BIN)/python scripts/image --test $(if $(CI),--install)

.PHONY: deploy
deploy: $(TOOLS)/kustomize ## Render the Kubernetes overlays anew
	TOOLS=$(TOOLS) scripts/render

.PHONY: deploy-check
deploy-check: $(BIN)/.ready $(TOOLS)/kustomize $(TOOLS)/promtool ## Manifests, alerts and dashboard against their schemas and the product
	TOOLS=$(TOOLS) scripts/render --check
	$(TOOLS)/promtool check rules deploy/prometheus/alerts.yaml
	$(TOOLS)/promtool test rules deploy/prometheus/alerts_test.yaml
	PROMTOOL=$(CURDIR)/$(TOOLS)/promtool $(BIN)/python -m pytest -q tests/deploy

.PHONY: lock
lock: $(BIN)/.ready ## Pin every dependency anew, with hashes
	$(BIN)/pip-compile -q --upgrade --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --extra otel -o requirements/runtime.txt pyproject.toml
	$(BIN)/pip-compile -q --upgrade --extra dev --extra otel --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml
	$(BIN)/pip-compile -q --upgrade --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  -o requirements/audit.txt requirements/audit.in
	$(BIN)/pip-compile -q --upgrade --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  -c requirements/dev.txt -o requirements/build.txt requirements/build.in

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(TOOLS)/buf:
	mkdir -p .cache/npm $(TOOLS)
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix .cache/npm @bufbuild/buf@$(BUF_VERSION)
	ln -sf ../npm/node_modules/.bin/buf $@

$(TOOLS)/protoc-gen-go:
	mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GEN_GO_GRPC_VERSION)
	GOBIN=$(CURDIR)/$(TOOLS) go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)

# ts-proto, of the version that the client's own lock file has.
$(TS_PROTO): clients/typescript/package-lock.json
	cd clients/typescript && npm ci --silent --no-audit --no-fund --ignore-scripts
	touch $@

$(TOOLS)/grpcurl:
	mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install github.com/fullstorydev/grpcurl/cmd/grpcurl@$(GRPCURL_VERSION)

$(TOOLS)/grpc-health-probe:
	mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install github.com/grpc-ecosystem/grpc-health-probe@$(HEALTH_PROBE_VERSION)

$(TOOLS)/ghz:
	mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install github.com/bojand/ghz/cmd/ghz@$(GHZ_VERSION)

$(TOOLS)/kustomize:
	mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_VERSION)

# Prometheus' own module is too much to build for one tool: that of this machine, or the one out of Debian's package.
$(TOOLS)/promtool:
	mkdir -p $(TOOLS) .cache/prometheus
	if command -v promtool >/dev/null; then ln -sf "$$(command -v promtool)" $@; else \
	  cd .cache/prometheus && { apt-get -qq download prometheus || { apt-get -qq update && apt-get -qq download prometheus; }; } && \
	  dpkg-deb --extract prometheus_*.deb . && ln -sf ../prometheus/usr/bin/promtool ../tools/promtool; \
	fi
