PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEBIAN := gcc libc6-dev libseccomp2 strace util-linux python3-venv

.PHONY: help test check system

help: ## Say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/inject: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

system:
	@missing=$$(for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -yq --no-install-recommends $$missing; \
	  else echo "install what the tests need: sudo apt-get install" $$missing; exit 1; fi; fi

test: system $(BIN)/inject ## Install what the tests need and run them all
	$(BIN)/pytest

check: $(BIN)/inject ## Lint and types
	$(BIN)/ruff check injector tools tests
	$(BIN)/ruff format --check injector tools tests
	$(BIN)/mypy
