# Everything a person does by hand. `make` alone prints this list.

PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
PARITY_STAMP := .venv/.installed-parity
# One thread spinning for the other makes models this small several times slower.
export OMP_WAIT_POLICY ?= PASSIVE

COMPILE := $(BIN)/pip-compile --generate-hashes --no-emit-find-links --no-emit-index-url \
	--no-emit-options --no-emit-trusted-host --strip-extras --unsafe-package=torch

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install reinstall serve stop run test parity bench bench-long check format lock

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

install: $(STAMP)  ## create .venv and install everything into it, once

reinstall:  ## install everything again, over what is in .venv
	rm -f $(STAMP) $(PARITY_STAMP)
	$(MAKE) install

serve: $(STAMP)  ## start Prefect, a worker, MLflow and the ranking page; options with ARGS
	$(BIN)/rlhf serve $(ARGS)

stop: $(STAMP)  ## end what `make serve` started
	$(BIN)/rlhf stop

run: $(STAMP)  ## run the demo; more options with ARGS="--set seed=1"
	$(BIN)/rlhf run --config demo $(ARGS)

test: $(STAMP)  ## run the tests; fewer of them with ARGS="-m 'not server'"
	$(BIN)/python -m pytest $(ARGS)

parity: $(PARITY_STAMP)  ## compare the core with rwkv, rwkv7-hf, transformers and TRL
	PARITY_REQUIRED=1 $(BIN)/python -m pytest tests/parity $(ARGS)

bench: $(PARITY_STAMP)  ## measure against the same peers, in 25 minutes; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks.bench $(ARGS)

bench-long: $(PARITY_STAMP)  ## the same with the longer rows
	$(BIN)/python -m benchmarks.bench --long $(ARGS)

check: $(STAMP)  ## ruff, mypy, import-linter, sqlfluff; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar data/sql

format: $(STAMP)  ## put the code into the form that `make check` wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --disable-progress-bar data/sql

lock: $(STAMP)  ## resolve the dependencies anew and write the two lock files
	$(COMPILE) --extra=dev --output-file=requirements.lock pyproject.toml
	$(COMPILE) --extra=dev --extra=parity --constraint=requirements.lock \
		--output-file=requirements-parity.lock pyproject.toml

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) is not there; install it, or say where it is: make PYTHON=PATH"; exit 2; }
	$(PYTHON) -m venv .venv

# torch comes first and without hashes: which build is right depends on the machine. The lock
# brings setuptools, so that our own package builds without fetching another.
$(STAMP): requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check "torch==2.13.0"
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $(STAMP)

$(PARITY_STAMP): requirements-parity.lock $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements-parity.lock
	@touch $(PARITY_STAMP)
