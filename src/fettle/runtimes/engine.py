"""What an engine is, and how one is opened."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self

import numpy as np

from fettle.errors import ArtifactError, HardwareError, SpecError

# Imported when asked for: a machine needs only the runtime that it uses.
ENGINES: Mapping[str, str] = MappingProxyType(
    {
        "onnxruntime": "fettle.runtimes.onnxruntime:OnnxRuntimeEngine",
        "openvino": "fettle.runtimes.openvino:OpenVinoEngine",
        "tensorrt": "fettle.runtimes.tensorrt:TensorRTEngine",
        "ensemble": "fettle.runtimes.ensemble:EnsembleEngine",
    }
)


class Engine(Protocol):
    """An exported model, loaded. Calls must not overlap: open one engine a thread.

    Attributes:
        image_shape: (S, S, 3), the shape of one image.
        precision: Arithmetic of the layers that are not quantized: ``float32``, ``bfloat16`` or
            ``float16`` where the runtime chooses it, ``as exported`` where the graph does.
    """

    image_shape: tuple[int, ...]
    precision: str

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the model's outputs in their order, each (N, ...) float32 or int32 and owned by the caller.

        Args:
            images: (N, S, S, 3) uint8 RGB, N >= 1.

        Raises:
            ServeError: If the dtype or the shape is another, the runtime fails, or an answer is missing.
        """
        ...

    def close(self) -> None:
        """Give the memory back; the engine cannot be called any more."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_engine(
    runtime: str,
    file: Path,
    *,
    threads: int | None = None,
    options: Mapping[str, str] = MappingProxyType({}),
) -> Engine:
    """Load ``file`` into ``runtime``.

    Args:
        runtime: ``onnxruntime``, ``openvino``, ``tensorrt`` or ``ensemble``.
        file: ``model.onnx``, ``model.xml`` (its ``.bin`` beside it), ``model.plan`` or ``ensemble.json``.
        threads: Threads that one call may use; by default the option's, else all cores.
        options: Parameters of Triton's backend of that name, as in ``config.pbtxt``.

    Raises:
        SpecError: If the runtime or an option is unknown.
        ArtifactError: If the file is missing, corrupt, or does not take (N, S, S, 3) uint8 images.
        HardwareError: If the runtime is not installed or has no device here.
    """
    if runtime not in ENGINES:
        raise SpecError(f"`runtime` must be one of {', '.join(ENGINES)}, got {runtime!r}.")
    if not file.is_file():
        raise ArtifactError(f"{file} does not exist: export the model again.")
    module, _, name = ENGINES[runtime].partition(":")
    try:
        engine_class = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise HardwareError(f"The runtime {runtime} cannot be loaded here ({error}): install it or drop it.") from None
    engine: Engine = engine_class(file, threads=threads, options=options)
    return engine
