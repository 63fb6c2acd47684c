# The door to a developer's day. `make` shows what there is; nothing is installed outside this folder.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SERVERS := $(VENV)/servers/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
DATABASE := $(if $(filter /%,$(FREIGHT_DUCKDB_PATH)),,dbt_project/)$(or $(FREIGHT_DUCKDB_PATH),freight.duckdb)
DAGS := carrier_reference carrier_safety carrier_risk
CODE := $(wildcard dbt_flow cards tests dbt_project benchmarks training)
BROWSER := $(strip $(shell for name in chromium chromium-browser google-chrome; do command -v $$name && break; done))
WORKERS ?= auto
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run data bench test pytest lint fmt types floors schema docs picture lock wheel clean reset

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done

run: $(READY) $(DATABASE)  ## Set up, then run the three example DAGs in the order of their chain, on DuckDB
	@for dag in $(DAGS); do printf '\n== %s\n' $$dag; $(BIN)/dbt-flow run $$dag || exit; done
	@printf '\nThe cards, each a page for your browser:\n'
	@for dag in $(DAGS); do printf '  %-18s %s\n' $$dag "$$($(BIN)/dbt-flow card $$dag)" || exit; done

data: $(READY)  ## Load today's raw data for the example (ARGS="--break not_null" to see a failure)
	$(BIN)/python dbt_project/raw_data/generate.py $(ARGS)

test: $(READY)  ## Set up, then lint, types, floors and all tests, each of them even when one before it fails
	@code=0; for check in lint types floors pytest; do $(MAKE) --no-print-directory $$check || code=1; done; exit $$code

pytest: $(READY) $(SERVERS)  ## All tests (ARGS="-k card" for some of them)
ifeq ($(BROWSER),)
	@echo "No Chromium on the PATH: tests marked 'browser' are left out. To run them: install chromium, and make test again."
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 -m "not browser" $(ARGS)
else
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 $(ARGS)
endif

lint: $(READY)  ## Say what is wrong with style
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

fmt: $(READY)  ## Mend style
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

types: $(READY)  ## Check types
	$(BIN)/mypy

floors: $(READY)  ## Check that each floor of the house sees only those below it
	$(BIN)/lint-imports

schema: $(READY)  ## Write dags/.schema.json anew, for editors
	$(BIN)/dbt-flow validate --write-schema

docs: $(READY)  ## Write docs/cli.md from the commands, and build the docs as a site into build/site (no network)
	$(BIN)/python tests/desk/cli_page.py
	$(BIN)/python -m mkdocs build --strict --quiet

picture: $(READY)  ## Take the README's picture of a card anew (needs Chromium)
	docs/images/card.sh $(BIN)

lock:  ## Write requirements.lock from pyproject.toml (ARGS=--upgrade for the newest of everything)
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip --disable-pip-version-check install --quiet 'uv>=0.8'
	build/lock/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.10 --extra postgres --group dev \
	    --generate-hashes --no-strip-extras --no-annotate --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" --output-file requirements.lock $(ARGS)
	for name in moto fakesnow; do build/lock/bin/uv pip compile tests/servers/$$name.in --quiet --universal --python-version 3.11 \
	    --generate-hashes --no-strip-extras --no-annotate --no-emit-index-url --no-emit-find-links \
	    --custom-compile-command "make lock" --output-file tests/servers/$$name.lock $(ARGS) || exit; done

bench: $(READY)  ## Measure against plain dbt build and write docs/benchmarks.md (ARGS="--work small --rounds 3")
	$(BIN)/python benchmarks/bench.py --write $(ARGS)

wheel: $(READY)  ## Build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel -d dist

clean:  ## Remove the environment, caches and builds; runs and data stay
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

reset:  ## Forget the example's runs and its database
	rm -rf .dbt_flow .metaflow metaflow_card_cache dbt_project/target dbt_project/logs $(DATABASE) $(DATABASE).wal

# The lock names every package with its version and hash, so that pip need not resolve anything.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	    { echo "Python 3.10 to 3.13 is needed; this is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	    { echo "This Python cannot make environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Setting up $(VENV): a minute or two, once."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install -qq --no-deps --require-hashes -r requirements.lock
	@$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@touch $@

# Servers that the tests start on loopback, each in an environment of its own: what they need and what we need do not go together.
# They want Python 3.11; with an older one their tests are left out, with the reason.
$(SERVERS): tests/servers/moto.lock tests/servers/fakesnow.lock | $(READY)
	@echo "Setting up the tests' servers: a minute, once."
	@mkdir -p $(VENV)/servers
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || exit 0; \
	    for name in moto fakesnow; do $(PYTHON) -m venv --clear $(VENV)/servers/$$name && \
	    $(VENV)/servers/$$name/bin/python -m pip --disable-pip-version-check install -qq --no-deps --require-hashes -r tests/servers/$$name.lock || exit; done
	@touch $@

$(DATABASE): | $(READY)
	@echo "Loading the example's raw data: a few seconds, once."
	@$(BIN)/python dbt_project/raw_data/generate.py
