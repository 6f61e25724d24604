# autodebit on one machine. Everything is installed under .local/, from package registries, by local/setup.py.

PYTHON ?= python3.13
DEV := .local/venvs/dev/bin

.PHONY: setup demo quick test prove up down logs ops model bench bench-books load growth check-secret check fix lock sbom
.DEFAULT_GOAL := test

setup:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || { \
		echo "autodebit needs Python 3.13, and '$(PYTHON)' is not it, or is not installed."; \
		echo "Install it (pyenv install 3.13, or uv python install 3.13), or say where it is: make PYTHON=/path/to/python3.13 ..."; \
		exit 1; }
	@$(PYTHON) local/setup.py

demo: setup
	@$(DEV)/python -m local.demo

quick: setup
	@$(DEV)/ruff format --check --quiet .
	@$(DEV)/ruff check --quiet .
	@$(DEV)/mypy
	@$(DEV)/pytest --quiet --numprocesses 2 tests/rules tests/template

test: setup check
	$(DEV)/pytest --numprocesses 4 --no-loadscope-reorder

prove: setup
	@$(DEV)/python -m tests.proof.prove

up: setup
	@$(DEV)/python -m local.stack up

down:
	@if [ -x $(DEV)/python ]; then $(DEV)/python -m local.stack down; else echo "  nothing was running"; fi

model: setup
	$(DEV)/python -m tests.proof.model

logs: setup
	@$(DEV)/python -m local.stack logs

ops: setup
	@$(DEV)/python -m ops --local .local/stack.json $(or $(ARGS),--help)

bench: setup
	@$(DEV)/python -m local.bench.bench

bench-books: setup
	@$(DEV)/python -m local.bench.books $(LINES)

load: setup
	@$(DEV)/python -m local.bench.load

growth: setup
	@$(DEV)/python -m local.bench.growth

check-secret: setup
	@$(DEV)/python -m local.check_secret $(SECRET)

check: setup
	$(DEV)/ruff format --check .
	$(DEV)/ruff check .
	$(DEV)/mypy
	PATH="$$PWD/.local/venvs/sam/bin:$$PATH" SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 .local/venvs/sam/bin/sam validate --lint
	.local/venvs/checkov/bin/checkov --file template.yaml --framework cloudformation --skip-download --compact --quiet
	$(DEV)/bandit --quiet --recursive functions layers
	$(DEV)/bandit --quiet --recursive local ops --configfile pyproject.toml

fix: setup
	$(DEV)/ruff format .
	$(DEV)/ruff check --fix .

lock: setup
	cd layers/dependencies && ../../.local/venvs/uv-*/bin/uv pip compile --quiet --universal --generate-hashes --no-header \
		--no-emit-index-url --python-version 3.13 ../../requirements.txt --output-file requirements.txt
	cd functions/reconcile && ../../.local/venvs/uv-*/bin/uv pip compile --quiet --universal --generate-hashes --no-header \
		--no-emit-index-url --python-version 3.13 requirements.in --output-file requirements.txt

sbom: setup
	@mkdir -p .local/sbom
	@.local/venvs/uv-*/bin/uv tool run --quiet --python $(PYTHON) --from cyclonedx-bom==7.5.0 cyclonedx-py requirements \
		--output-reproducible --mc-type library --output-file .local/sbom/sbom.json layers/dependencies/requirements.txt
	@echo "  .local/sbom/sbom.json"
