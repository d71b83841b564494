"""OpenVINO on the CPU, with the parameters and defaults of Triton's ``openvino`` backend.

https://github.com/triton-inference-server/openvino_backend#parameters

That backend reads ``model.xml`` (or ``model.onnx``) with ``Core.read_model`` and can ask for
bfloat16 but not for float32: a float model runs at the CPU plugin's default, which is bfloat16 on
CPUs that have it natively. The engine does the same and tells the precision in use.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import properties

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

PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def _streams(name: str, value: str) -> Any:
    if value.upper() in ("AUTO", "NUMA"):
        return getattr(properties.streams.Num, value.upper())
    return integer_option(name, value)


def _one_of(choices: Mapping[str, Any]) -> Callable[[str, str], Any]:
    def parse(name: str, value: str) -> Any:
        if value.upper() not in choices:
            raise SpecError(f"The option {name} must be {' or '.join(choices)}, got {value!r}.")
        return choices[value.upper()]

    return parse


# Triton's parameter -> the plugin's property and how its text is read.
OPTIONS: Mapping[str, tuple[str, Callable[[str, str], Any]]] = {
    "INFERENCE_NUM_THREADS": ("INFERENCE_NUM_THREADS", integer_option),
    "NUM_STREAMS": ("NUM_STREAMS", _streams),
    "PERFORMANCE_HINT": ("PERFORMANCE_HINT", _one_of(properties.hint.PerformanceMode.__members__)),
    "HINT_BF16": ("INFERENCE_PRECISION_HINT", _one_of({"YES": ov.Type.bf16})),
}


class OpenVinoEngine(Engine):
    """An IR or ONNX file, compiled for the CPU; one inference request."""

    def __init__(self, file: Path, *, threads: int | None = None, options: Mapping[str, str]) -> None:
        settings = compile_settings(options, threads)
        try:
            model = ov.Core().read_model(file)
            self.image_shape = check_signature(file, *_signature(model))
            self._compiled: ov.CompiledModel | None = ov.Core().compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise ArtifactError(f"{file} cannot be loaded by OpenVINO ({reason(error)}): export it again.") from None
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.precision = PRECISIONS.get(precision, precision)
        self._request = self._compiled.create_infer_request()

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        check_images(images, self.image_shape)
        if self._request is None:
            raise ServeError("This OpenVINO engine is closed: open it again.")
        try:
            outputs = self._request.infer([images], share_inputs=True)
        except RuntimeError as error:
            raise ServeError(f"OpenVINO failed on a batch of {len(images)} ({reason(error)}).") from None
        return answers(outputs.values(), len(images))

    def close(self) -> None:
        self._request = None
        self._compiled = None

    @property
    def compiled(self) -> ov.CompiledModel:
        """The compiled model, for a look at what runs in which precision."""
        if self._compiled is None:
            raise ServeError("This OpenVINO engine is closed: open it again.")
        return self._compiled


def compile_settings(options: Mapping[str, str], threads: int | None) -> dict[str, Any]:
    """Return the plugin's properties; ``threads`` beats ``INFERENCE_NUM_THREADS``.

    Raises:
        SpecError: If an option is unknown or has no such value.
    """
    check_option_names("openvino", options, OPTIONS)
    settings = {OPTIONS[name][0]: OPTIONS[name][1](name, value) for name, value in options.items()}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    return settings


def _signature(model: ov.Model) -> tuple[list[str], str, tuple[int | None, ...]]:
    names = [port.get_any_name() for port in model.inputs]
    dtype = model.inputs[0].get_element_type().to_dtype().name
    shape = tuple(None if size.is_dynamic else size.get_length() for size in model.inputs[0].get_partial_shape())
    return names, dtype, shape
