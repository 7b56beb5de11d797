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

# The tables between the markers in README.md, taken from results/.
readme: $(INSTALLED)
	$(BIN)/python -m tests.test_readme

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -e '.[attacks,dev]' -c constraints.txt
	touch $@
