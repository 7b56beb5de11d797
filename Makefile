# make run: the digits grid and its report.  make test: everything CI checks.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: run test lint setup readme

run: $(INSTALLED)
	$(BIN)/robench run --methods sensible,trades,madry
	$(BIN)/robench report

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(INSTALLED)

# README.md's tables and docs/methods.md, from results/ and the method files.
readme: $(INSTALLED)
	$(BIN)/python -m tests.test_readme
	$(BIN)/python -m tests.test_docs

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -e '.[attacks,dev]' -c constraints.txt
	touch $@
