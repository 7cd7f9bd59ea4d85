# Everything runs in .venv, made from requirements.lock; every target makes it first when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.made-from-lock
RATE ?= 2000
FOR ?= 45s
DATA ?=
ONLY ?=

# Compiled modules are kept: without them, each of the many processes that the tests start compiles everything again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test tools ops chaos-core chaos fuzz k8s check bench bench-stages bench-scale bench-swap bench-peers fresh docs sbom lock clean
.PHONY: .check-laws .check-units

help: ## print these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; PYTHON=python3.12 make … chooses one" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## score applications on a Kafka broker on this machine, with two workers (DATA=file for your own, RATE=2000, FOR=45s)
	$(BIN)/scorer up --workers 2 $(if $(DATA),--data $(DATA),--rate $(RATE) --for $(FOR))

check: setup ## the quick part of the tests: lint, types, rooms, property tests, and the unit tests that are not slow
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target .check-laws .check-units

.check-laws:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q tests/property

.check-units:
	$(BIN)/pytest -q --numprocesses=2 -m quick tests/unit

test: check ## the quick part, then the slow unit tests and those on real brokers, four at a time
	$(BIN)/pytest --numprocesses=4 --dist=worksteal -m "not quick" tests/unit tests/fuzz tests/contract tests/simulation tests/integration

ops: setup ## the tests of what it is run with: Prometheus, Helm, containers, a browser, the docs' commands (after make tools)
	$(BIN)/pytest --numprocesses=2 --dist=loadfile tests/ops

chaos-core: setup ## faults on a cluster of three brokers, seven of them, in about five minutes (after make tools)
	$(BIN)/pytest -o faulthandler_timeout=900 tests/chaos

chaos: setup ## faults on a cluster of three brokers, all of them, in some hours (ONLY="frozen-broker black-hole-*" chooses; report in build/chaos)
	$(BIN)/python -m tests.chaos $(ONLY)

tools: setup ## get the programs that the operations' tests drive: Prometheus, Helm, Chromium, … (where one is missing, its tests skip)
	$(BIN)/python -m tests.tools

fuzz: FOR = 20m
fuzz: setup ## hostile input for everything that reads what others wrote (FOR=20m, ONLY="archives settings"; findings in build/fuzz)
	$(BIN)/python -m tests.fuzz --for $(FOR) $(ONLY)

k8s: setup ## the chart on a real control plane with KEDA: four minutes, and half an hour more to build their programs the first time
	$(BIN)/python -m tests.k8s.programs
	$(BIN)/pytest --log-cli-level=INFO --log-cli-format='%(message)s' tests/k8s

bench: setup ## one worker against pass-through, as ratios
	$(BIN)/python -m benchmarks.throughput

bench-stages: setup ## where the microseconds of a record go, by batch, model and record size
	$(BIN)/python -m benchmarks.stages

bench-scale: setup ## CPU a record with more workers and with more records
	$(BIN)/python -m benchmarks.scale

bench-swap: setup ## a deployment and its rollback under load: what is lost, doubled, mixed (nothing), and the latency around it
	$(BIN)/python -m benchmarks.swap

bench-peers: setup ## one worker against every other way to do this job; writes benchmarks/report (an hour)
	$(BIN)/python -m benchmarks.comparison

fresh: setup ## regenerate the derived files: schemas, the AsyncAPI document, alert rules, dashboards, the README of the chart, the reference
	$(BIN)/python -m generators

docs: setup ## build the documentation's site into build/docs, strictly: a dead link ends it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

sbom: setup ## write the bill of materials (CycloneDX) and the list of licences into build
	$(BIN)/python -m supply_chain.sbom

lock: setup ## resolve the dependencies anew (needs uv, and Maven for Kafka's jars)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--extra train --extra onnx --extra sklearn --extra docker --extra s3 --extra bentoml --extra console --extra otel --extra signatures \
		--group dev --group docs \
		--no-header --no-emit-index-url --upgrade pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --constraint requirements.lock \
		--extra onnx --extra s3 --extra console --extra otel --extra signatures --no-header --no-annotate --no-emit-index-url pyproject.toml \
		-o scorer/author/runtime.lock
	echo hatchling | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--constraint requirements.lock --no-header --no-annotate --no-emit-index-url - -o build.lock
	$(BIN)/python -m supply_chain.kafka_lock

clean: ## remove what was built here (the broker's files are kept in your cache folder)
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
