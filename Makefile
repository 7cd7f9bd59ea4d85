# Everything runs in .venv, created from requirements.lock; each target creates it first if it is missing or out of date.
# VENV names another folder, for another Python: make bench-peers PYTHON=/usr/bin/python3 VENV=build/debian
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-from-lock
RATE ?= 2000
FOR ?= 45s
DATA ?=
ONLY ?=
ARGS ?=

# Keep bytecode: otherwise each of the many processes that the tests start would compile all modules again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test tools ops chaos-core chaos fuzz fuzz-engine k8s check swaps laws equality bench bench-stages bench-scale bench-swap bench-peers fresh pictures docs sbom lock clean
.PHONY: .engine .library .check-types .check-laws .check-units .check-engine .class-archive

CARGO := $(shell command -v cargo)
# Without the flags: cargo does not use make's job server. Without Python: the engine uses its stable ABI alone, and
# cargo would build it again with each other PATH, such as that of an activated environment, to find a Python there.
RUN_CARGO := env -u MAKEFLAGS -u MFLAGS PYO3_NO_PYTHON=1 cargo
CARGO_OPTIONS := --quiet --locked --manifest-path engine/Cargo.toml --target-dir build/engine
LIBRARY := build/engine/release/libscorer_engine.$(if $(filter Darwin,$(shell uname)),dylib,so)

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## create .venv from requirements.lock, and build the compiled engine if cargo is installed
	@+$(MAKE) --no-print-directory --jobs=2 .engine

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; PYTHON=python3.12 make … chooses one" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@echo "installing the packages in requirements.lock, which takes one to three minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Without cargo everything works, on the Python engine. The module is replaced by renaming: processes may have loaded it.
.engine: $(STAMP) .library
ifdef CARGO
	@module=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/scorer_engine.abi3.so; \
	if [ -e $(LIBRARY) ]; then cmp -s $(LIBRARY) $$module || { cp $(LIBRARY) $$module.new && mv $$module.new $$module; }; \
	else rm -f $$module; fi
endif

# Needs no .venv, and is built while pip fills it: the optimizer uses one core.
.library:
ifdef CARGO
	@$(RUN_CARGO) build $(CARGO_OPTIONS) --release --features python || { rm -f $(LIBRARY); \
	echo "the compiled engine cannot be built (is Rust older than 1.88?); everything works without it"; }
else
	@echo "cargo not found: the compiled engine is not built. Install Rust 1.88 or newer (https://rustup.rs), then run make setup"
endif

demo: setup ## run a broker, two workers and a publisher on this machine (DATA=file for your own applications, RATE=2000, FOR=45s)
	$(BIN)/scorer up --workers 2 $(if $(DATA),--data $(DATA),--rate $(RATE) --for $(FOR))

CHECKS := .check-types .check-laws .check-units .check-engine
SIDE_BY_SIDE = $(MAKE) --no-print-directory --jobs=5 --output-sync=target

check: setup ## lint, types, import rules, property tests, and the fast unit tests
	@+$(SIDE_BY_SIDE) $(CHECKS)

.check-types:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.check-laws:
	$(BIN)/pytest -q tests/property

.check-units:
	$(BIN)/pytest -q --numprocesses=2 -m quick tests/unit

# Clippy in the profile of setup, which has compiled the macros of the dependencies already.
.check-engine:
ifdef CARGO
	$(RUN_CARGO) fmt --manifest-path engine/Cargo.toml --check
	$(RUN_CARGO) clippy $(CARGO_OPTIONS) --release --all-targets --features python -- --deny warnings
	$(RUN_CARGO) test $(CARGO_OPTIONS)
	$(RUN_CARGO) run $(CARGO_OPTIONS) --example fuzz 50000
endif

.class-archive:
	$(BIN)/python -m tests.class_archive

test: setup ## all of check, then the slow unit tests and the tests on real brokers, four in parallel
	@+$(SIDE_BY_SIDE) $(CHECKS) .class-archive
	$(BIN)/pytest --numprocesses=4 --dist=worksteal -m "not quick" $$(grep -rl --include='test_*.py' pytest.mark.slow tests/unit) \
		tests/fuzz tests/contract tests/simulation tests/integration

# Three files at once on two cores: tests wait for browsers, brokers and alerts. A file stays in one process, with the
# browser, workers and consoles that its tests share; tests/ops/conftest.py says which files come first.
ops: setup ## test Prometheus rules, the Helm chart, containers, the console in a browser, and the commands in the docs (after make tools)
	$(BIN)/pytest -o faulthandler_timeout=900 --numprocesses=3 --dist=loadfile --no-loadscope-reorder tests/ops

chaos-core: setup ## seven faults on a cluster of three brokers, in about five minutes (after make tools)
	$(BIN)/pytest -o faulthandler_timeout=900 tests/chaos

chaos: setup ## all faults on a cluster of three brokers, in some hours (ONLY="frozen-broker black-hole-*" selects; report in build/chaos)
	$(BIN)/python -m tests.chaos $(ONLY)

tools: setup ## download the programs that make ops needs: Prometheus, Helm, Chromium, … (tests of a missing one are skipped)
	$(BIN)/python -m tests.tools

laws: setup ## decoders and JSON Schema agree on 200 random contracts with 5,000 records each, and policies decide a million records like an independent evaluator (ten minutes)
	LAW_CONTRACTS=200 LAW_RECORDS=5000 $(BIN)/pytest -o faulthandler_timeout=7200 --log-cli-level=INFO --log-cli-format='%(message)s' tests/property/test_contracts_at_scale.py
	POLICY_RECORDS=1000000 $(BIN)/pytest -o faulthandler_timeout=7200 --log-cli-level=INFO --log-cli-format='%(message)s' tests/property/test_policies.py

equality: RECORDS = 1000000
equality: BUNDLES = 33
equality: SEED = 1
equality: setup ## both engines give the same bytes for RECORDS=1000000 drawn records of BUNDLES=33 drawn bundles, from SEED=1 on
	$(BIN)/python -m tests.equality --records $(RECORDS) --bundles $(BUNDLES) --seed $(SEED)

fuzz: FOR = 20m
fuzz: setup ## hostile input for every parser (FOR=20m, ONLY="archives settings"; findings in build/fuzz)
	$(BIN)/python -m tests.fuzz --for $(FOR) $(ONLY)

# Instrumented for coverage, and with all checks of integers and indexes; SANITIZER=address also finds accesses out of
# bounds. RUSTC_BOOTSTRAP allows the sanitizer with the stable toolchain. No dependency but the crate's own is needed.
FUZZ_FLAGS := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cdebug-assertions=on -Coverflow-checks=on -Ccodegen-units=1
FUZZ_TARGET = $(shell rustc -vV | sed -n 's/host: //p')
fuzz-engine: EXECUTIONS = 10000000
fuzz-engine: SEED = 1
fuzz-engine: ## mutated records and tables for the compiled engine, guided by coverage (EXECUTIONS=10000000, SEED=1, SANITIZER=address)
	RUSTC_BOOTSTRAP=1 RUSTFLAGS="$(FUZZ_FLAGS) $(if $(SANITIZER),-Zsanitizer=$(SANITIZER))" $(RUN_CARGO) build --quiet --locked \
		--manifest-path engine/Cargo.toml --target-dir build/fuzz-engine$(if $(SANITIZER),-$(SANITIZER)) --target $(FUZZ_TARGET) \
		--release --config profile.release.lto=false --example fuzz
	build/fuzz-engine$(if $(SANITIZER),-$(SANITIZER))/$(FUZZ_TARGET)/release/examples/fuzz $(EXECUTIONS) $(SEED)

k8s: setup ## test the chart on a real Kubernetes control plane with KEDA: four minutes; the first run builds them (half an hour)
	$(BIN)/python -m tests.k8s.programs
	$(BIN)/pytest --log-cli-level=INFO --log-cli-format='%(message)s' tests/k8s

swaps: setup ## ten swaps between bundles with different contracts under 5,000 applications per second: nothing lost, duplicated or mixed
	SWAPS=10 SWAPS_PER_S=5000 $(BIN)/pytest -o faulthandler_timeout=900 --log-cli-level=INFO --log-cli-format='%(message)s' tests/integration/test_contract_swaps.py

bench: setup ## one worker with each engine compared with pass-through, as ratios (ARGS="--contract wide")
	$(BIN)/python -m benchmarks.throughput $(ARGS)

bench-stages: setup ## CPU time per record of both engines, by stage, contract, batch size, model and record size; and of reasons
	$(BIN)/python -m benchmarks.stages $(ARGS)
	$(BIN)/python -m benchmarks.reasons $(ARGS)

bench-scale: setup ## CPU per record with more workers and with more records
	$(BIN)/python -m benchmarks.scale

bench-swap: setup ## a deployment and its rollback under load: lost, duplicated and mixed results, and the latency
	$(BIN)/python -m benchmarks.swap

bench-peers: setup ## both engines compared with other implementations of the same job; writes benchmarks/report (40 minutes)
	$(BIN)/python -m benchmarks.comparison $(ARGS)
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m generators

fresh: setup ## regenerate all derived files: schemas, AsyncAPI, alert rules, dashboards, the chart's README, the reference, the figures of README
	$(BIN)/python -m generators

pictures: setup ## take the pictures in docs/images from a running scorer up, and the output of make demo in README (seven minutes; on a machine without other load)
	$(BIN)/python -m generators.pictures $(ARGS)

docs: setup ## build the documentation site in build/docs; a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

sbom: setup ## write the bill of materials (CycloneDX) and the list of licences to build
	$(BIN)/python -m supply_chain.sbom

lock: setup ## resolve the dependencies again (needs uv, cargo, and Maven for Kafka's jars)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--extra train --extra onnx --extra sklearn --extra docker --extra s3 --extra bentoml --extra console --extra otel --extra signatures \
		--group dev --group docs \
		--no-header --no-emit-index-url --upgrade pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --constraint requirements.lock \
		--extra onnx --extra s3 --extra console --extra otel --extra signatures --no-header --no-annotate --no-emit-index-url pyproject.toml \
		-o runtime.lock
	echo hatchling | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--constraint requirements.lock --no-header --no-annotate --no-emit-index-url - -o build.lock
	cargo update --quiet --manifest-path engine/Cargo.toml
	$(BIN)/python -m supply_chain.crate_licences
	$(BIN)/python -m supply_chain.kafka_lock

clean: ## remove .venv, caches and build output (the broker's files in your cache folder are kept)
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
