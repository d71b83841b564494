# make pipeline-run            the main job, on the example data or SPEC=my.yaml; overrides as train.epochs=3
# make test                    the tests of tiers unit, pipeline and serve
.DEFAULT_GOAL := help
PYTHON ?= python3
SPEC ?= examples/castings.yaml
BIN := .venv/bin
# Whatever was given as section.key=value is an override of the spec.
OVERRIDES = $(foreach given,$(MAKEOVERRIDES),$(if $(findstring .,$(firstword $(subst =, ,$(given)))),'$(given)'))
UV_SYNC = $(BIN)/uv pip sync --quiet --compile-bytecode
DOCKER ?= docker
REGISTRY ?= fettle
IMAGES ?= step light triton-cpu
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/fettle/__init__.py)
# What is set in the environment alone: an index of one's own.
IMAGE_ARGS = --build-arg PIP_INDEX_URL --build-arg UV_DEFAULT_INDEX --build-arg VERSION=$(VERSION) \
	--build-arg REVISION=$(shell git rev-parse HEAD) --build-arg DEVICE=$(or $(DEVICE),cuda)

.PHONY: help
help:  ## Show the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: pipeline-run
pipeline-run: venv $(if $(CLUSTER),,venv-triton)  ## Images in, a confirmed model on Triton out (SPEC=..., train.epochs=3; CLUSTER=1 NAMESPACE=...).
	$(BIN)/fettle $(if $(CLUSTER),submit $(if $(NAMESPACE),--namespace $(NAMESPACE)),run) --spec $(SPEC) $(OVERRIDES)

.PHONY: test
test: venv venv-triton  ## Run the tests that need neither cluster nor GPU.
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile tests/unit tests/chart
	$(BIN)/pytest tests/pipeline tests/serve

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
bench-optimize: venv venv-triton  ## What the search finds beside single tools, on real networks: hours the first time.
	$(BIN)/python benchmarks/optimize_peers.py

.PHONY: docs
docs: venv  ## Write the generated pages.
	$(BIN)/fettle spec --markdown > docs/spec.md
	$(BIN)/fettle spec --schema > docs/spec.schema.json
	$(BIN)/python -m typer fettle.cli.app utils docs --name fettle --title "The command line" --output docs/cli.md

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock"

.PHONY: lock
lock: venv  ## Resolve the requirements anew.
	$(LOCK) --extra dev pyproject.toml -o requirements.lock
	$(LOCK) deploy/triton/requirements.in -o deploy/triton/requirements.lock
	$(LOCK) deploy/images/build.in -o deploy/images/build.lock
	$(LOCK) --constraint requirements.lock deploy/images/light.in -o deploy/images/light.lock
	$(LOCK) --constraint requirements.lock --extra pipelines --extra yolov8 pyproject.toml -o deploy/images/step.lock

.PHONY: images
images:  ## Build the images (DEVICE=cpu: step without CUDA; PLATFORMS=linux/amd64,linux/arm64 BUILD_FLAGS=--push).
	@for image in $(IMAGES); do \
		DOCKER_BUILDKIT=1 $(DOCKER) $(if $(PLATFORMS),buildx build --platform $(PLATFORMS),build) $(BUILD_FLAGS) $(IMAGE_ARGS) \
			--quiet --file deploy/images/Dockerfile --target $$image --tag $(REGISTRY)/$$image:$(VERSION) . >/dev/null || exit 1; \
		$(DOCKER) images --format '{{.Repository}}:{{.Tag}}	{{.Size}}' $(REGISTRY)/$$image:$(VERSION); \
	done

.PHONY: venv
venv: .venv/.ready  ## The environment of everything but the Triton server.

.PHONY: venv-triton
venv-triton: .venv-triton/.ready  ## The Triton server and the runtimes of its backends.

.PHONY: cluster-up
cluster-up: images  ## A local cluster with the whole stack (kind, Docker, helm).
	kind create cluster --config deploy/kind/cluster.yaml
	kind load docker-image --name fettle $(foreach image,$(IMAGES),$(REGISTRY)/$(image):$(VERSION))
	helm install fettle helm/fettle --namespace fettle --create-namespace --wait --timeout 15m

.PHONY: cluster-test
cluster-test: venv  ## The tests of a cluster, on the current kube context.
	FETTLE_NAMESPACE=$(or $(NAMESPACE),fettle) $(BIN)/pytest tests/cluster

.PHONY: cluster-down
cluster-down:  ## Remove the local cluster.
	kind delete cluster --name fettle

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
