# Each target makes its own environment in a fresh clone. Python 3.11 or later is all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Where a whole bench is too long: make bench ROUNDS=1 MATRIX=20, or one of its parts with --quick
ROUNDS ?= 3
CRASHES ?= 200
# For each step of each service: 45 minutes of them.
MATRIX ?= 500
# Three quarters of a minute each.
GENERATED ?= 30

.PHONY: help demo test retest covered lint bench clean

help:
	@echo "make demo    find a race in a running service, see it fixed and gone"
	@echo "make test    all tests, with real servers and databases"
	@echo "make lint    format, lint, types, import rules, docs"
	@echo "make bench   what the README quotes, written to bench/results/ (several hours)"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[scan,flask,fastapi,postgres,mariadb,sqlalchemy,redis,robyn,starlette,litestar,quart,http3]" --group dev
	@touch $@

demo: $(READY)
	@$(BIN)/python -m lab.demo

test: $(READY)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --cache-clear
	@$(MAKE) --no-print-directory covered

# For CI: what failed in `make test`, once more
retest: $(READY)
	@$(BIN)/python -m tools.failed
	$(BIN)/coverage run -m pytest --last-failed --last-failed-no-failures none
	@$(MAKE) --no-print-directory covered

covered:
	$(BIN)/coverage combine --quiet
	$(BIN)/python -m tools.pure_coverage
	$(BIN)/coverage report --fail-under=90

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m tools.check_lab_types
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tools.check_docs
	$(BIN)/python -m tools.signing_docs --check
	$(BIN)/python -m tools.guard_tables --check
	$(BIN)/python -m tools.lessons --check

bench: $(READY)
	$(BIN)/python -m bench.delivery
	$(BIN)/python -m bench.overlap
	$(BIN)/python -m bench.verify
	$(BIN)/python -m bench.sqlite_store
	$(BIN)/python -m bench.postgres_store
	$(BIN)/python -m bench.costs
	$(BIN)/python -m bench.serving
	$(BIN)/python -m bench.peers
	$(BIN)/python -m tools.guard_tables
	$(BIN)/python -m bench.crash --rounds $(CRASHES)
	$(BIN)/python -m bench.crash_matrix --rounds $(MATRIX)
	$(BIN)/python -m bench.outbox
	$(BIN)/python -m bench.truth --runs $(ROUNDS)
	$(BIN)/python -m bench.detection --full
	$(BIN)/python -m bench.coverage_simulation
	$(BIN)/python -m bench.generated --services $(GENERATED) --again
	$(BIN)/python -m bench.published
	$(BIN)/python -m tools.lessons --write
	$(BIN)/python -m tools.quotes --write

clean:
	rm -rf $(VENV) build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache
