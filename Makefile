# What the tests need of Debian or Ubuntu; installed by `make test` when root.
DEBIAN := gcc libc6-dev gcc-multilib libseccomp2 libunwind8 strace util-linux procps python3-venv \
  netbase sqlite3 redis-server redis-tools nginx-light curl git openssl tar gzip ripgrep rclone \
  postgresql default-jdk-headless gdb chromium chromium-driver tmux

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test check bench schema system

help: ## Say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

$(BIN)/inject: pyproject.toml
	@echo "making the environment in .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(BIN)/inject ## Install, inject a fault into a real program, show what happened
	@sh tools/demo.sh

system:
	@missing=$$(for p in $(DEBIAN); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -z "$$missing" ]; then exit 0; \
	elif [ "$$(id -u)" = 0 ]; then \
	    echo "installing" $$missing; \
	    apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	        apt-get install -yqq --no-install-recommends $$missing > /dev/null; \
	else \
	    echo "The tests need these packages: sudo apt-get install" $$missing; exit 1; fi

test: system $(BIN)/inject ## Install what the tests need, run them all
	$(BIN)/pytest

check: $(BIN)/inject ## Lint and types
	$(BIN)/ruff check injector tests tools bench
	$(BIN)/ruff format --check injector tests tools bench
	$(BIN)/mypy

bench: $(BIN)/inject ## Measure our cost beside strace's and bare C's
	$(BIN)/python bench/run.py

schema: $(BIN)/inject ## Write the JSON Schema that editors use for scenarios
	$(BIN)/inject schema > scenarios/scenario.schema.json
