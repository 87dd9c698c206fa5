# One entry point for users and for CI. `make` alone lists the targets.
# Plain enough for the GNU make 3.81 of macOS.
.DEFAULT_GOAL := help
SHELL := bash

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS := .venv-docs
# Tried in this order; `make install PYTHON=/path/to/python` goes first.
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11 python3
# Airflow excludes 3.15 and later.
FIND_PYTHON := for candidate in $(PYTHONS); do "$$candidate" -c 'import sys; assert (3, 11) <= sys.version_info < (3, 15); print(sys.executable)' 2>/dev/null && break; done
# A worker per core. A file's tests share one; the slowest folders come first by their names.
PARALLEL := --numprocesses logical --maxprocesses 8 --no-loadscope-reorder
WITH_UV := command -v uv >/dev/null
COMPILE := uv pip compile pyproject.toml --quiet --extra postgres --extra sandbox --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate

# What `make coverage` measures: all tests, or `make coverage TESTS=tests/unit/segments`.
TESTS := tests

.PHONY: help install demo up test test-full torture coverage check fix matrix celery bench screenshots docs sandbox lock clean

help:  ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-11s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## Create .venv/ with every dependency pinned and Segue itself, editable

demo: $(READY)  ## Run real DAG runs over the sample; print who changed and what was delivered
	@$(BIN)/python -m segue.demo

up: $(READY)  ## Start Airflow's UI with the sample loaded (Ctrl-C stops it)
	@$(BIN)/python -m segue.demo up

test: $(READY)  ## Run the tests that are not marked slow
	@$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-full: $(READY)  ## Run every test
	@$(BIN)/python -m pytest $(PARALLEL)

torture: $(READY)  ## Kill workers at every step and count what servers received (FULL=1: all of it)
	@$(BIN)/python -m tests.torture $(if $(FULL),--full)

coverage: $(READY)  ## Run the tests under coverage and report lines that none reaches (TESTS=a folder)
	@rm -f .coverage .coverage.*
	@failed=0; \
	$(BIN)/coverage run -m pytest -m "not slow" $(PARALLEL) $(TESTS) || failed=1; \
	$(BIN)/coverage combine --quiet; \
	$(BIN)/coverage report --show-missing; \
	$(BIN)/coverage html --quiet && echo "Line by line: htmlcov/index.html"; \
	exit $$failed

check: $(READY)  ## Lint, check the format, the types and the import rules
	@failed=0; \
	$(BIN)/ruff check || failed=1; \
	$(BIN)/ruff format --check || failed=1; \
	$(BIN)/mypy || failed=1; \
	$(BIN)/lint-imports --no-logo || failed=1; \
	exit $$failed  # every problem at once

fix: $(READY)  ## Mend what the linter can mend, and format
	@$(BIN)/ruff check --fix; failed=$$?; \
	$(BIN)/ruff format; \
	exit $$failed

matrix: $(READY)  ## Try the wheel with each Airflow and Python that it supports (needs uv; CELLS=3.1.8-3.11)
	@$(WITH_UV) || { echo "make matrix needs uv: https://docs.astral.sh/uv/" >&2; exit 1; }
	@$(BIN)/python -m tests.matrix $(CELLS)

celery: $(READY)  ## Catch up ten days on Celery, a worker killed three times (needs uv, redis-server, PostgreSQL)
	@$(WITH_UV) || { echo "make celery needs uv: https://docs.astral.sh/uv/" >&2; exit 1; }
	@$(BIN)/python -m tests.celery

bench: $(READY)  ## Measure the daily run beside its peers, the door and the ledger beside the bare client
	@$(BIN)/python -m tests.benchmarks
	@$(BIN)/python -m tests.benchmarks.together
	@$(BIN)/python -m tests.benchmarks.delivery
	@$(BIN)/python -m tests.benchmarks.ledger
	@$(BIN)/python -m tests.benchmarks.details
	@$(BIN)/python -m tests.benchmarks.takes

screenshots: $(READY)  ## Take the pictures in docs/images of a real Airflow (needs Chromium)
	@$(BIN)/python -m tests.ui.screenshots

docs: $(DOCS)/.ready  ## Build the pages into site/; a link that leads nowhere fails
	@$(DOCS)/bin/python docs/site.py
	@echo "Built: site/index.html"

sandbox: $(READY)  ## Serve look-alikes of the vendors and an SMTP server on this machine
	@$(BIN)/segue sandbox --folder .airflow/sandbox

# The image has no tests or linters: a lock of its own, of the same versions.
lock:  ## Compile requirements.lock, docker/requirements.lock and docs/requirements.lock from pyproject.toml (needs uv)
	@$(WITH_UV) || { echo "make lock needs uv: https://docs.astral.sh/uv/" >&2; exit 1; }
	$(COMPILE) --group dev -o requirements.lock
	$(COMPILE) --group image --constraints requirements.lock -o docker/requirements.lock
	uv pip compile --group docs --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-annotate -o docs/requirements.lock

clean:  ## Remove the environment, the demo's Airflow, the sample and every cache
	rm -rf $(VENV) $(DOCS) site .airflow include/sample build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
	  echo "Segue needs Python 3.11 or newer (up to 3.14); tried: $(strip $(PYTHONS))." >&2; \
	  echo "Install one, or name it: make install PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	echo "Creating $(VENV)/ with $$("$$python" --version) ($$python)"; \
	rm -rf $(VENV); \
	if $(WITH_UV); then uv venv --quiet --python "$$python" $(VENV); else "$$python" -m venv $(VENV); fi

# The stamp is written last, so that an interrupted install starts again.
$(READY): requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the $$(grep -c == requirements.lock) packages of requirements.lock: a few minutes the first time"
	@if $(WITH_UV); then \
	  uv pip install --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install --compile-bytecode --python $(BIN)/python --no-build-isolation --no-deps --editable .; \
	else \
	  $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --disable-pip-version-check --no-build-isolation --no-deps --editable .; \
	fi
	@touch $@
	@echo "Ready: $(BIN)/segue --help"

# The site's generator has an environment of its own: nothing else needs it.
$(DOCS)/.ready: docs/requirements.lock
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then echo "make docs needs Python 3.11 or newer" >&2; exit 1; fi; \
	rm -rf $(DOCS); \
	if $(WITH_UV); then \
	  uv venv --quiet --python "$$python" $(DOCS) && \
	  uv pip install --quiet --python $(DOCS)/bin/python --require-hashes -r docs/requirements.lock; \
	else \
	  "$$python" -m venv $(DOCS) && \
	  $(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docs/requirements.lock; \
	fi
	@touch $@
