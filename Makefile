# make run     a first study on whatever this machine has
# make test    the tests
# make check   format, lint, types, import contracts, tests: before every commit
# make storm   the tests of clusters whose nodes come and go, and chaos
# make chaos   a study under a storm of kill -9: CHAOS_SECONDS=600 CHAOS_SEED=1
# make bench   the benchmarks; their figures are explained in benchmarks/README.md

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check storm chaos bench lint format clean

run: .venv/installed
	$(BIN)/autoresearch run

# Two files at a time, in the order in which they stand: most tests wait for processes to start. What
# kills at random comes last, alone.
test: .venv/installed-dev
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
	CHAOS_SECONDS=$${CHAOS_SECONDS:-60} $(BIN)/pytest -m whole_machine tests/integration/test_chaos.py

check: lint test

lint: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

storm: .venv/installed-dev
	$(BIN)/pytest -m whole_machine

chaos: .venv/installed-dev
	CHAOS_SECONDS=$${CHAOS_SECONDS:-600} $(BIN)/pytest -s --timeout=0 -m whole_machine tests/integration/test_chaos.py

bench: .venv/installed-dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv .venv

# pip gets torch, because it heeds its own settings (an index of CPU builds, say), and uv the rest, in a
# quarter of pip's time; where uv can't reach an index, pip gets that too.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
UV := $(BIN)/uv pip install --quiet --python .venv --compile-bytecode --constraint constraints.txt

.venv/torch: .venv/bin/python constraints.txt
	$(PIP) uv torch
	@touch $@

.venv/installed: .venv/torch pyproject.toml
	$(UV) --editable . || $(PIP) --editable .
	@touch $@

.venv/installed-dev: .venv/torch pyproject.toml
	$(UV) --editable '.[cluster,dev]' || $(PIP) --editable '.[cluster,dev]'
	@touch $@ .venv/installed
