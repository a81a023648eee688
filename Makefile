# Stencil's commands. `make help` lists them.

.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
LOCKS := requirements/run.lock requirements/dev.lock
PYTHON ?=
ISOLATION := tests/attacks tests/sandbox tests/runtime
export PYTHON

.PHONY: help up bench test test-tools test-isolation test-browser test-rest test-all test-fuzz test-faults test-attacks-lowered test-crash test-fork-soak test-connection-soak lint format lock doctor migrations screenshots clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is the lock itself, copied after a complete install: an interrupted one starts again.
$(VENV)/run.lock: requirements/run.lock
	@echo "environment: installing into $(VENV) from requirements/run.lock"
	@python=$$(scripts/find-python) && { [ -x $(PY) ] || "$$python" -m venv $(VENV); }
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@cp $< $@

$(VENV)/dev.lock: requirements/dev.lock $(VENV)/run.lock
	@echo "environment: adding the tools of requirements/dev.lock"
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@cp $< $@

up: $(VENV)/run.lock ## build what is missing, then start web and executor (Ctrl-C stops both)
	@exec $(PY) manage.py up

doctor: $(VENV)/run.lock ## say what isolation this machine gives, with remedies
	@$(PY) manage.py doctor

test: test-tools ## every test: unit, real npm, real sandbox, real browser; only the matrices of changed templates
	@$(MAKE) --no-print-directory -j 3 test-isolation test-browser test-rest

# Install the programs that the tests call (Chromium, nginx, a C compiler, curl, git, chattr), or
# print one line that says what to install.
test-tools: $(VENV)/dev.lock
	@$(PY) scripts/install_test_tools.py

# These three groups run at the same time, because most tests wait for processes and downloads.
# Tests of ISOLATION compare the state of the host before and after, so they run in one process.
# Playwright occupies the event loop of its process, so the tests of the browser run alone.
test-isolation: test-tools
	@$(PY) -m pytest -q --matrix=changed $(ISOLATION)

test-browser: test-tools
	@$(PY) -m pytest -q tests/browser

test-rest: test-tools
	@$(PY) -m pytest -q -n 2 tests $(ISOLATION:%=--ignore=%) --ignore=tests/browser

test-all: test-tools ## the same with every template's whole matrix; remembers that it passed
	$(PY) -m pytest --remember-matrix tests tests/long

test-crash: $(VENV)/dev.lock ## 100 kills and 200 promotions under load (minutes)
	STENCIL_CRASHES=100 STENCIL_PROMOTIONS=200 $(PY) -m pytest tests/execapp/executor/test_crashes.py

test-fork-soak: $(VENV)/dev.lock ## 20,000 executions through one executor (STENCIL_SOAK: how many); nothing may grow
	STENCIL_SOAK=$${STENCIL_SOAK:-20000} $(PY) -m pytest -q -s tests/execapp/executor/test_fork_soak.py

test-connection-soak: $(VENV)/dev.lock ## ten minutes of clients that keep their connections and pause for up to 74 s; no request is lost
	STENCIL_SOAK_SECONDS=$${STENCIL_SOAK_SECONDS:-600} STENCIL_SOAK_PAUSE=$${STENCIL_SOAK_PAUSE:-74} \
		$(PY) -m pytest -q tests/webui/server/test_pooled_client.py

test-fuzz: $(VENV)/dev.lock ## 10,000 hostile inputs for each parser (minutes)
	$(PY) -m pytest --hypothesis-profile=fuzz tests/fuzz

bench: $(VENV)/run.lock ## measure against the bare tools; writes docs/benchmarks.md
	@$(PY) manage.py bench --write

test-faults: $(VENV)/dev.lock ## every kind of damage to versions (minutes); `make test` runs a third each day
	STENCIL_FAULTS=all $(PY) -m pytest -q -n 2 tests/faults

test-attacks-lowered: $(VENV)/dev.lock ## lower each protection in turn; list the attacks that then succeed
	@$(PY) scripts/attacks_lowered.py

lint: $(VENV)/dev.lock ## format, rules, types, layers, migrations, locks
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) scripts/check_locks.py

format: $(VENV)/dev.lock ## rewrite the code in our format
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

lock: ## resolve the Python dependencies anew
	$(PY) scripts/check_locks.py --write

screenshots: $(VENV)/dev.lock ## pictures of every page, both themes, wide and narrow
	$(PY) scripts/screenshots.py

clean: ## remove caches; the data directory and the environment stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
