# Every target sets up what it needs; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Tests and benchmarks start hundreds of processes: none should compile again what another has compiled.
export PYTHONDONTWRITEBYTECODE :=
# Tests wait for disks and for processes they start: one worker more than there are processors.
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(4, 1 + (os.cpu_count() or 1)))')
# Bytecode of packages is made as they are imported: most of what is installed never is, and all of it takes half a minute.
INSTALL := -m pip install --quiet --no-compile --editable

.DEFAULT_GOAL := help
.PHONY: help demo test collect check bench bench-ann formats tpch fuzz torture guided clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 10

demo: $(VENV)/.installed ## build a collection from 5,000 Debian packages and answer questions
	@$(BIN)/vego demo $(ARGS)

test: $(VENV)/.installed-dev ## run all tests (ARGS="-k name" for some)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

collect: $(VENV)/.installed-dev ## list the tests, which also compiles them: `make test` after it starts sooner
	@$(BIN)/python -m pytest --collect-only --quiet --quiet $(ARGS)

check: $(VENV)/.installed-dev ## format, lint and type checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench ## measure Vego beside its peers (ARGS="--quick" for a small run)
	$(BIN)/python -m benchmarks.run $(ARGS)

bench-ann: $(VENV)/.installed-bench ## recall against speed of the index beside other libraries' (ARGS="--quick" for a small run)
	$(BIN)/python -m benchmarks.ann $(ARGS)

formats: $(VENV)/.installed-bench ## measure the file format beside Parquet, Lance and Vortex
	$(BIN)/python -m benchmarks.formats $(ARGS)

tpch: $(VENV)/.installed-bench ## the 22 queries of TPC-H through DuckDB, on .lfmt, Parquet and its own tables
	$(BIN)/python -m benchmarks.tpch $(ARGS)

fuzz: $(VENV)/.installed-dev ## feed the readers damaged bytes for a minute (ARGS="--seed N" repeats a run)
	$(BIN)/python -m fuzz.run $(ARGS)

torture: $(VENV)/.installed-dev ## try to lose data: power cuts, kills, failing calls, flipped bits, races (an hour; ARGS="--scale 0.01")
	$(BIN)/python -m fuzz.torture $(ARGS)

guided: $(VENV)/.installed-dev ## the same led by coverage (Linux; brings atheris)
	$(BIN)/python $(INSTALL) '.[fuzz]'
	$(BIN)/python -m fuzz.guided $(ARGS)

clean: ## remove the environment, caches and demo data
	rm -rf $(VENV) vego-demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python $(INSTALL) '.[bench]'
	@touch $@ $(VENV)/.installed
