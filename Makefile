# Requires Python with venv. Everything else is installed into .venv, except Chromium, Node and Redis (Debian packages).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo up programs test screenshots chaos matrix stack live bench check release lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create the virtual environment with Airflow and this package

$(INSTALLED): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is required: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "creating a virtual environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements-dev.txt)"
	@echo "installing Airflow and the development tools ($$(grep -c == requirements-dev.txt) packages, up to two minutes)"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirement requirements-dev.txt
	@echo "installing this package"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED) ## Train, promote and predict in a real Airflow with the sandbox
	@$(BIN)/python -m dev.demo

up: $(INSTALLED) ## Run Airflow with its UI, the example DAGs and the sandbox until Ctrl-C
	@$(BIN)/python -m dev.up

programs: $(INSTALLED) ## Install Chromium and Node for the tests if they are missing
	@$(BIN)/python -m dev.programs

screenshots: programs ## Regenerate screenshots
	@$(BIN)/python -m pytest tests/browser --screenshots docs/images

test: programs ## Run all tests except those of make chaos, with coverage
	@$(BIN)/python -m pytest --ignore=tests/chaos --cov --cov-report=term-missing

chaos: $(INSTALLED) ## Test trainings while components of Airflow are killed and Akkio is unavailable
	@$(BIN)/python -m pytest --verbose tests/chaos

matrix: $(INSTALLED) ## Run the tests with all supported versions of Airflow and Python, or VERSIONS="2.11.0/3.11 …"
	@$(BIN)/python -m dev.matrix $(VERSIONS)

stack: $(INSTALLED) ## Run 200 trainings on the services of docker-compose.yaml while some of them are killed
	@$(BIN)/python -m dev.load_test

live: $(INSTALLED) ## Check assumptions about Akkio with a real account (AKKIO_API_KEY); asks first, since Akkio bills two trainings
	@$(BIN)/python -m dev.live

bench: $(INSTALLED) ## Measure CPU, memory, requests and delays, and update benchmarks/results.json
	@$(BIN)/python -m benchmarks

check: $(INSTALLED) ## Check style, types, import layers and docker-compose.yaml, and build the wheel
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml
	@$(BIN)/python -m build --wheel --no-isolation --outdir $(VENV)/dist

release: $(INSTALLED) ## Build and check an sdist and a wheel of the last commit in dist
	@$(BIN)/python -m dev.release

lock: $(INSTALLED) ## Upgrade all dependencies in requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-annotate --no-emit-index-url \
		--custom-compile-command "make lock" --all-extras --group dev --output-file requirements-dev.txt pyproject.toml

clean: ## Delete the virtual environment and all build results
	@rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
