"""ONNX Runtime on the CPU, with the parameters and defaults of Triton's ``onnxruntime`` backend.

https://github.com/triton-inference-server/onnxruntime_backend#model-config-options
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from fettle.errors import ArtifactError, ServeError, SpecError
from fettle.runtimes.checks import (
    answers,
    check_images,
    check_option_names,
    check_signature,
    integer_option,
    reason,
)
from fettle.runtimes.engine import Engine

ERRORS_ONLY = 3


def _threads(attribute: str) -> Callable[[ort.SessionOptions, str, str], None]:
    return lambda session, name, value: setattr(session, attribute, integer_option(name, value))


def _switch(attribute: str) -> Callable[[ort.SessionOptions, str, str], None]:
    return lambda session, name, value: setattr(session, attribute, bool(_bit(name, value)))


def _execution_mode(session: ort.SessionOptions, name: str, value: str) -> None:
    modes = (ort.ExecutionMode.ORT_SEQUENTIAL, ort.ExecutionMode.ORT_PARALLEL)
    session.execution_mode = modes[_bit(name, value)]


def _bit(name: str, value: str) -> int:
    if value not in ("0", "1"):
        raise SpecError(f"The option {name} must be 0 or 1, got {value!r}.")
    return int(value)


OPTIONS: Mapping[str, Callable[[ort.SessionOptions, str, str], None]] = {
    "intra_op_thread_count": _threads("intra_op_num_threads"),
    "inter_op_thread_count": _threads("inter_op_num_threads"),
    "execution_mode": _execution_mode,
    "enable_mem_arena": _switch("enable_cpu_mem_arena"),
    "enable_mem_pattern": _switch("enable_mem_pattern"),
}


class OnnxRuntimeEngine(Engine):
    """An ONNX file in an inference session; all graph optimizations on, as in Triton."""

    def __init__(self, file: Path, *, threads: int | None = None, options: Mapping[str, str]) -> None:
        settings = session_options(options, threads)
        try:
            session = ort.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # each fault has an exception class of its own, without a common base
            raise ArtifactError(
                f"{file} cannot be loaded by ONNX Runtime ({reason(error)}): export it again."
            ) from None
        inputs = session.get_inputs()
        shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
        self.image_shape = check_signature(file, [tensor.name for tensor in inputs], inputs[0].type, shape)
        self.precision = "as exported"
        self._input = inputs[0].name
        self._session: ort.InferenceSession | None = session

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        check_images(images, self.image_shape)
        if self._session is None:
            raise ServeError("This ONNX Runtime engine is closed: open it again.")
        try:
            outputs = self._session.run(None, {self._input: images})
        except Exception as error:
            raise ServeError(f"ONNX Runtime failed on a batch of {len(images)} ({reason(error)}).") from None
        return answers(outputs, len(images))

    def close(self) -> None:
        self._session = None


def session_options(options: Mapping[str, str], threads: int | None) -> ort.SessionOptions:
    """Return session options; ``threads`` beats ``intra_op_thread_count``.

    Raises:
        SpecError: If an option is unknown or has no such value.
    """
    check_option_names("onnxruntime", options, OPTIONS)
    settings = ort.SessionOptions()
    settings.log_severity_level = ERRORS_ONLY
    for name, value in options.items():
        OPTIONS[name](settings, name, value)
    if threads is not None:
        settings.intra_op_num_threads = threads
    return settings
