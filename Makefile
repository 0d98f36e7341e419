# make setup | demo | test | test-all | lint | docs | bench | server | lock | clean
# Variables, e.g. `make test PYTHON=python3.13 VENV=.venv-lowest RESOLUTION=lowest-direct LINT=`
PYTHON ?= python3
VENV ?= .venv
# Versions that are installed: locked, or the lowest-direct or highest that pyproject.toml allows.
RESOLUTION ?= locked
# What `make test` does first; nothing: linters speak for the locked versions only.
LINT ?= lint

INSTALLED := $(if $(filter locked,$(RESOLUTION)),-r requirements.lock,-r pyproject.toml --extra test --resolution $(RESOLUTION))
# The lowest versions warn of newer versions of what they need themselves.
WARNINGS := $(if $(filter lowest-direct,$(RESOLUTION)),-W default::DeprecationWarning)
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test test-all lint docs bench server lock clean
.DEFAULT_GOAL := setup

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python $(INSTALLED)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(READY)

demo: $(READY)
	$(BIN)/python -m src.run -m +experiment=demo
	$(BIN)/python -m reports.build
	@echo "Report: reports/output/index.html"
	@echo "Runs:   $(BIN)/mlflow ui   (then open http://127.0.0.1:5000)"

test: $(READY) $(LINT)
	$(BIN)/python -m pytest -n auto --dist loadfile $(WARNINGS)

test-all: $(READY) $(LINT)
	$(BIN)/python -m pytest -n auto --dist loadfile -m "slow or not slow" $(WARNINGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.ready-docs # the pages of docs/ into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Documentation: site/index.html"

$(VENV)/.ready-docs: requirements-docs.lock $(READY)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-docs.lock
	touch $@

bench: $(READY) # minutes; PyTorch and optax are compared where they are installed: pip install '.[bench]'
	for script in steps whole processes sweep tracking report stacking limits; do $(BIN)/python -m benchmarks.$$script || exit 1; done

server: $(READY) # a tracking server for a team, on PostgreSQL; its options are in the script
	PYTHON=$(BIN)/python scripts/server.sh

LOCKED := pyproject.toml --universal --python-version 3.11 --no-annotate --no-header

lock: $(READY) # rewrite the two lock files from pyproject.toml
	$(BIN)/uv pip compile $(LOCKED) --extra test -o requirements.lock
	$(BIN)/uv pip compile $(LOCKED) --extra docs --constraints requirements.lock -o requirements-docs.lock

clean:
	rm -rf $(VENV) .cache reports/output site
