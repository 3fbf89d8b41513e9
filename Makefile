# What a newcomer types. Every target sets itself up; `make help` lists them.
PYTHON ?= python3
VENV := .venv
PORT ?= 8000
BIN := $(VENV)/bin
SETUP := $(PYTHON) tools/setup_venv.py --venv $(VENV)

.PHONY: help run demo dev test test-engines check audit docs lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

run: ## Serve the page on this machine, and open it in the browser; PORT=8000
	@$(SETUP) --lock requirements.lock
	@$(BIN)/facepool serve --open --port $(PORT)

demo: ## Register two people, recognize them and two strangers, look at the pictures
	@$(SETUP) --lock requirements.lock
	@$(BIN)/facepool demo

dev: # made before the targets that need it, so that several of them may run at a time: make -j 2 check docs
	@$(SETUP) --lock requirements-dev.lock

test: dev ## Run the test suite on all cores, without the engines of many machines
	@$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not milvus and not ray"

test-engines: dev ## Run the tests that start a Milvus server and Ray nodes
	@grep -rlE 'mark\.(milvus|ray)\b' tests --include='test_*.py' | xargs $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "milvus or ray"

check: dev ## Lint, types, layers, dependencies: zero warnings
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .

audit: ## Ask about known vulnerabilities of all that is locked, where their database is reached
	@$(PYTHON) tools/audit.py

docs: dev ## Build the documentation into site/, without the network; every warning is an error
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs site
	@echo "Look at site/index.html"

lock: ## Resolve the dependencies anew (needs uv) and write both lock files
	@$(PYTHON) tools/lock.py

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-output docs/_generated site
