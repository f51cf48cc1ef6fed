# Two commands on a fresh machine: `make demo` and `make test`.
# Each target makes .venv when it is not there, or when the lock has changed.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
READY := $(VENV)/.ready
export IMAGING_HOME ?= $(CURDIR)/imaging_home

.PHONY: help demo up test test-slow lint bench bench-peers clean

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: set PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m compileall -q imaging_platform
	@touch $@

demo: $(READY)  ## Process the built-in demo study, from drop to report
	$(BIN)/imaging-platform demo

up: $(READY)  ## Open the Dagster UI and daemon on the same home
	$(BIN)/imaging-platform up

test: $(READY)  ## Run the fast tests
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: $(READY)  ## Run the slow tests: demo, real drops, kills, Postgres, tutorial; properties at length
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -m "slow or hypothesis" -n 2 --dist loadfile

lint: $(READY)  ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

bench: $(READY)  ## Measure each stage beside its floor
	$(BIN)/python -m benchmarks

$(PEERS)/.ready: benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/peers.txt
	@touch $@

bench-peers: $(READY) $(PEERS)/.ready  ## Measure de-identification and conversion beside other tools
	$(BIN)/python -m benchmarks deid_peers bids_peers

clean:  ## Remove .venv and .venv-peers; data stays
	rm -rf $(VENV) $(PEERS)
