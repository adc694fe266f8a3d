PYTHON ?= python3
BIN := .venv/bin
RUNTIME := .venv/.runtime
DEV := .venv/.dev
# One more than there are processors: half of the tests wait for a flush, an encoder or a clock.
PROCESSES ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.DEFAULT_GOAL := help
.PHONY: help demo test test-long torture lint bench coverage mutation docs lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## watch a channel being generated in batches, and every deletion explain itself
	@$(BIN)/trailkeep demo

test: $(DEV) ## all tests, in under five minutes
	$(BIN)/pytest -rs -n $(PROCESSES) --dist worksteal -m "not long"

test-long: $(DEV) ## the longer campaigns: more histories, more kills, a long playback
	TRAILKEEP_LONG=1 $(BIN)/pytest -n $(PROCESSES) --timeout 1800

torture: $(DEV) ## every failure that can be made, at every point: kills, power cuts (as root), and what others do
	TRAILKEEP_TORTURE=1 $(BIN)/pytest tests/torture -rs -n $(PROCESSES) --dist worksteal --timeout 7200

lint: $(DEV) ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV) ## the figures of docs/reference/benchmarks.md, beside their peers
	$(BIN)/python -m benchmarks

coverage: $(DEV) ## branch coverage of domain and application; fails below 95 % in either
	$(BIN)/pytest -q -n $(PROCESSES) -m "not long" tests/unit tests/property tests/contract tests/integration \
		--cov --cov-report=term-missing
	$(BIN)/python tests/branches.py

mutation: $(DEV) ## mutate what decides on deletions; fails on a survivor that docs/reference/mutation.md does not judge
	$(BIN)/python tests/mutation.py --max-children $(PROCESSES)

docs: $(DEV) ## write the generated parts of the docs again
	$(BIN)/python docs/generate.py

lock: $(DEV) ## pin the dependencies again, with hashes
	$(BIN)/uv export -q --format requirements.txt --no-emit-project --no-header -o requirements.lock
	$(BIN)/uv export -q --format requirements.txt --no-emit-project --no-header --extra dev -o requirements-dev.lock
	rm -f uv.lock

clean: ## remove the environment and all caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* mutants

.venv/bin/pip:
	$(PYTHON) -m venv .venv

$(RUNTIME): requirements.lock pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(DEV): requirements-dev.lock pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@ $(RUNTIME)
