# make pipeline-run            the main job, on the example data or SPEC=my.yaml; overrides as train.epochs=3
# make test                    the tests of tiers unit, pipeline and serve
.DEFAULT_GOAL := help
PYTHON ?= python3
SPEC ?= examples/castings.yaml
BIN := .venv/bin
# Whatever was given as section.key=value is an override of the spec.
OVERRIDES = $(foreach given,$(MAKEOVERRIDES),$(if $(findstring .,$(firstword $(subst =, ,$(given)))),'$(given)'))
UV_SYNC = $(BIN)/uv pip sync --quiet --compile-bytecode

.PHONY: help
help:  ## Show the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: pipeline-run
pipeline-run: venv venv-triton  ## Images in, a confirmed model on Triton out (SPEC=..., train.epochs=3).
	$(BIN)/fettle run --spec $(SPEC) $(OVERRIDES)

.PHONY: test
test: venv venv-triton  ## Run the tests that need neither cluster nor GPU.
	$(BIN)/pytest tests/unit tests/pipeline tests/serve

.PHONY: lint
lint: venv  ## Lint, types and import contracts.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: venv  ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: venv venv-triton  ## Run the benchmarks, each prints a table.
	@for file in $(filter-out benchmarks/optimize_peers.py,$(wildcard benchmarks/[a-z]*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

.PHONY: bench-optimize
bench-optimize: venv venv-triton  ## What the search finds beside single tools, on real networks: up to an hour the first time.
	$(BIN)/python benchmarks/optimize_peers.py

.PHONY: docs
docs: venv  ## Write the generated pages.
	$(BIN)/fettle spec --markdown > docs/spec.md
	$(BIN)/fettle spec --schema > docs/spec.schema.json
	$(BIN)/python -m typer fettle.cli.app utils docs --name fettle --title "The command line" --output docs/cli.md

.PHONY: lock
lock: venv  ## Resolve the requirements anew.
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" deploy/triton/requirements.in -o deploy/triton/requirements.lock

.PHONY: venv
venv: .venv/.ready  ## The environment of everything but the Triton server.

.PHONY: venv-triton
venv-triton: .venv-triton/.ready  ## The Triton server and the runtimes of its backends.

.PHONY: clean
clean:  ## Remove runs and made data; the environments stay.
	rm -rf runs data

.venv/.ready: requirements.lock pyproject.toml
	@echo "Installing into .venv (about a minute)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@VIRTUAL_ENV=.venv $(UV_SYNC) requirements.lock
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@

.venv-triton/.ready: deploy/triton/requirements.lock | .venv/.ready
	@echo "Installing Triton into .venv-triton" >&2
	@test -x .venv-triton/bin/python3 || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-triton
	@VIRTUAL_ENV=.venv-triton $(UV_SYNC) deploy/triton/requirements.lock
	@touch $@
