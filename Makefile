# Python with venv and make are all that a machine needs; everything else goes into .venv, but for a Chromium and a Redis.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo up browser test screenshots chaos matrix stack bench check release lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make the virtual environment, with Airflow and this package

$(INSTALLED): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "making a virtual environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements-dev.txt)"
	@echo "installing Airflow and the tools ($$(grep -c == requirements-dev.txt) packages; the first time takes a minute or two)"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirement requirements-dev.txt
	@echo "installing this package"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED) ## Train a model in a real Airflow against the sandbox, and show what comes out
	@$(BIN)/python -m dev.demo

up: $(INSTALLED) ## Serve Airflow with its web page, the example DAGs and the sandbox until Ctrl-C
	@$(BIN)/python -m dev.up

browser: $(INSTALLED) ## Install Chromium for the browser tests, where it is missing and Debian's packages can be had
	@$(BIN)/python -m dev.browser

screenshots: browser ## Take the pictures of the documentation anew
	@$(BIN)/python -m pytest tests/browser --screenshots docs/images

test: browser ## Run every test but those of make chaos, a whole Airflow included, and measure the coverage
	@$(BIN)/python -m pytest --ignore=tests/chaos --cov --cov-report=term-missing

chaos: $(INSTALLED) ## Kill parts of a whole Airflow, and take Akkio away, while models are trained
	@$(BIN)/python -m pytest --verbose tests/chaos

matrix: $(INSTALLED) ## Run all tests without a browser with each supported Airflow, and Python but 3.14
	@$(BIN)/python -m dev.matrix $(VERSIONS)

stack: $(INSTALLED) ## Kill parts of what docker-compose.yaml describes, as processes, while 200 models are trained at once
	@$(BIN)/python -m dev.trial

bench: $(INSTALLED) ## Measure what the package costs and how fast it notices an end, and show it as a table
	@$(BIN)/python -m benchmarks

check: $(INSTALLED) ## Lint, check types and layers, check docker-compose.yaml, build the wheel
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml
	@$(BIN)/python -m build --wheel --no-isolation --outdir $(VENV)/dist

release: $(INSTALLED) ## Build sdist and wheel of what is committed into dist, and install the wheel into an empty environment
	@$(BIN)/python -m dev.release

lock: $(INSTALLED) ## Choose the newest versions of all dependencies anew
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-annotate --no-emit-index-url \
		--custom-compile-command "make lock" --all-extras --group dev --output-file requirements-dev.txt pyproject.toml

clean: ## Delete what make has made
	@rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
