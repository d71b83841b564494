#!/bin/sh
# What the Dockerfile does more than once, in the environment that $VIRTUAL_ENV names.
set -eu
uv() { /opt/tools/bin/uv --quiet --no-progress "$@"; }
case $1 in
lock)  # all that /lock pins, by hash
  uv venv "$VIRTUAL_ENV"
  uv pip sync --require-hashes --compile-bytecode --link-mode copy --cache-dir /cache /lock
  ;;
cuda) ;;  # all is there
cpu)  # without what is loaded on a GPU alone: whole distributions, and the engines of the one that torch links to
  uv pip uninstall triton nvidia-cusolver nvidia-nvtx cuda-bindings cuda-pathfinder
  find "$VIRTUAL_ENV" -name 'libcudnn_*.so.*' -delete
  python -c 'import torch, torchvision'
  ;;
wheel)  # Fettle, with its modules compiled
  uv pip install --no-cache --no-deps --no-index /wheel/*.whl
  cd "$VIRTUAL_ENV"/lib/python3*/site-packages
  python -m compileall -q fettle components pipelines
  ;;
sbom)  # what is there, as CycloneDX
  mkdir -p /usr/share/sbom
  /opt/tools/bin/cyclonedx-py environment "$VIRTUAL_ENV/bin/python" --output-reproducible -o /usr/share/sbom/python.cdx.json
  ;;
esac
