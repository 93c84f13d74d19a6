# Two commands: `make demo` shows the package at work, `make test` runs every check and test.
# A fresh machine needs Python 3.11 or newer with its venv module, make, and a way to a package index.

PYTHON ?= python3
# The lowest versions of the dependencies have wheels for the lowest Python only.
LOWEST_PYTHON ?= python3.11

VENV := .venv
INTEROP := .venv-interop
LOWEST := .venv-lowest

# Errors stay visible, the rest of pip's talk does not help anyone who typed `make demo`.
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check --no-input

.PHONY: demo test check bench drops notebooks interop test-lowest format clean
.DEFAULT_GOAL := test

demo: $(VENV)/.made-demo
	$(VENV)/bin/intdash-frames demo

# pytest comes last: its summary closes the output. Spark is half a gigabyte, for machines that can run it.
test: check $(INTEROP)/.made $(if $(shell command -v java),$(VENV)/.made-spark)
	REQUIRE_INTEROP=1 $(VENV)/bin/python -m pytest

check: $(VENV)/.made-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# `make bench BENCH=--quick` takes half a minute.
bench: $(VENV)/.made-dev $(INTEROP)/.made
	$(VENV)/bin/python -m tests.benchmarks.bench $(BENCH)

# Five minutes in which the connection of a live view is cut a hundred times; fails if a point is missing or repeated.
drops: $(VENV)/.made-dev
	$(VENV)/bin/python -m tests.benchmarks.drops $(DROPS)

# Runs the notebooks and keeps their outputs.
notebooks: $(VENV)/.made-dev
	$(VENV)/bin/python -m tests.notebooks.executing

# The vendor's SDK lives apart: it must not choose the versions that the package is tested with.
interop: $(INTEROP)/.made

# Warnings are errors on current versions only: old releases warn about their own future.
test-lowest: $(LOWEST)/.made
	$(LOWEST)/bin/python -m pytest -W default

format: $(VENV)/.made-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) $(INTEROP) $(LOWEST) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Environments. A stamp is written only when its installation went through, so a broken one is made again.

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.made-demo: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing the package into $(VENV) (a minute or two the first time)"
	@$(VENV)/bin/python $(PIP_INSTALL) --editable '.[server]'
	@touch $@

$(VENV)/.made-dev: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "installing the package and the development tools into $(VENV) (a minute or two the first time)"
	@$(VENV)/bin/python $(PIP_INSTALL) --editable '.[dev]'
	@touch $(VENV)/.made-demo $@

$(VENV)/.made-spark: pyproject.toml | $(VENV)/.made-dev
	@echo "installing Spark into $(VENV)"
	@$(VENV)/bin/python $(PIP_INSTALL) --editable '.[dev,spark]'
	@touch $@

$(INTEROP)/.made: tests/interop/requirements.txt
	@echo "installing the vendor's SDK into $(INTEROP)"
	@$(PYTHON) -m venv --clear $(INTEROP)
	@$(INTEROP)/bin/python $(PIP_INSTALL) --requirement tests/interop/requirements.txt
	@$(INTEROP)/bin/python -W ignore -c 'import intdash'
	@touch $@

$(LOWEST)/.made: pyproject.toml .ci/lowest.py
	@echo "installing the package with the lowest versions of its dependencies into $(LOWEST)"
	@$(LOWEST_PYTHON) -m venv --clear $(LOWEST)
	@$(LOWEST)/bin/python .ci/lowest.py pyproject.toml > $(LOWEST)/constraints.txt
	@$(LOWEST)/bin/python $(PIP_INSTALL) --constraint $(LOWEST)/constraints.txt --editable '.[dev]'
	@touch $@
