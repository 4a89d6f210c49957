# `make etl` runs the job on the sample data; `make test` runs the fast tests (two minutes);
# `make test-all` adds what takes longer. Everything needed is installed into .venv first.
PYTHON ?= python3
BIN := .venv/bin
# As pip does, so that certificates of a company's own hold.
export UV_SYSTEM_CERTS := true
# Code is compiled once, not by every process that a test starts.
export PYTHONDONTWRITEBYTECODE :=
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

.venv/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

.venv/runtime: requirements.txt | .venv/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt requirements.txt | .venv/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	@touch $@ .venv/runtime

etl: .venv/runtime  ## run the job on the sample data into lake/
	$(BIN)/python src/scripts/etl.py

test: .venv/dev lint  ## lint, types and the fast tests
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not spark"
	$(BIN)/python -m pytest -m "spark and not slow" tests/lake tests/rules

# A Python process that has spoken to Sail cannot start Spark, so each engine has its own.
test-all: test  ## everything that runs on this machine
	$(BIN)/python -m pytest -n auto --dist loadfile -m "slow and not spark"
	$(BIN)/python -m pytest -m "slow and spark"

# COUNT: random moments at which runs are killed; the other random tests scale with it.
SEED ?= 1
COUNT ?= 200
torture: .venv/dev  ## kill, starve, confuse and attack the job for an hour or two (SEED=, COUNT=)
	TORTURE_SEED=$(SEED) TORTURE_COUNT=$(COUNT) $(BIN)/python -m pytest -s tests/torture tests/parse/test_fuzz.py

mutants: .venv/dev  ## plant more than forty bugs, one by one: the fast tests must find each
	$(BIN)/python tests/support/mutants.py

bench: .venv/dev  ## measure the job beside DuckDB and Polars (bench/README.md has more)
	$(BIN)/python bench/run.py

lint: .venv/dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: .venv/dev  ## known faults of what is installed (asks a service on the internet)
	$(BIN)/pip-audit --strict

lock: .venv/uv  ## pin everything that comes along, with hashes: requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -o requirements.lock requirements.txt

format: .venv/dev  ## let ruff rewrite the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# Jupyter wants to be told that it may run as root, as in containers.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
notebook: .venv/dev  ## open the notebook on the lake (make etl first; FLAGS= goes to Jupyter)
	$(BIN)/jupyter lab $(AS_ROOT) $(FLAGS) src/nb/notebook.ipynb

docs: .venv/dev  ## build the documentation as a site into .cache/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

pictures: .venv/dev  ## make the documentation's pictures anew (needs Chromium)
	PYTHONPATH=src $(BIN)/python tests/support/pictures.py

clean:  ## remove what was built, not the lake
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache

.PHONY: help lock docs pictures notebook etl test test-all bench torture mutants lint audit format clean
