"""Lower the precision of an exported model, for the runtime that will serve it."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from fettle.errors import FettleError, HardwareError, OptimizeError
from fettle.export.manifest import Export, Format
from fettle.export.thresholds import full_curve, set_thresholds
from fettle.hardware import Passport, passport
from fettle.optimize.support import RUNTIMES
from fettle.runtimes import open_engine
from fettle.spec import QuantizeConfig, TensorRTConfig

CHECKED_IMAGES = 16
ALIKE = 1e-6
DIFFERENT = 1e-3
SCORES = ("probabilities", "scores", "embedding")

log = logging.getLogger("fettle")


class RuinedError(OptimizeError):
    """Low precision has left nothing of the answers."""


@dataclass(frozen=True)
class Method:
    """How one precision is made for one runtime.

    Attributes:
        convert: Writes ``file`` from a float ONNX file and calibration images.
        format: What it writes: ``onnx`` or ``openvino``.
        options: Parameters that the runtime needs to run it so.
    """

    convert: Callable[[Path, Path, np.ndarray, QuantizeConfig], object]
    format: Format
    options: Mapping[str, str] = field(default_factory=dict)


def quantize(source: Export, folder: Path, images: np.ndarray, *, config: QuantizeConfig, runtime: str) -> Export:
    """Write a copy of ``source`` in lower precision.

    Args:
        source: Float ONNX export.
        folder: Where the model's files are written; the manifest is not.
        images: Calibration images, (N, S, S, 3) uint8.
        config: Precision, calibration, nodes to keep in float.
        runtime: Which runtime it is for.

    Returns:
        The description of what was written.

    Raises:
        OptimizeError: If the source is not a float ONNX file, the runtime cannot do the precision, no layer was
            quantized, or the answers are broken.
        HardwareError: If bf16 is asked of a CPU that has it not.
    """
    result = convert(source, folder, images, config=config, runtime=runtime)
    check_answers(source, result, images[:CHECKED_IMAGES], runtimes=(runtime, runtime))
    return result


def convert(source: Export, folder: Path, images: np.ndarray, *, config: QuantizeConfig, runtime: str) -> Export:
    """Do what :func:`quantize` does, but for the look at the answers: for who wants to know the speed alone."""
    _check_float(source)
    method = _find_method(config, runtime)
    config = for_machine(config, passport())
    result = replace(
        source,
        path=folder,
        format=method.format,
        precision=config.precision,
        runtimes=(runtime,),
        options={runtime: dict(method.options)} if method.options else {},
    )
    try:
        method.convert(source.file, result.file, images, config)
    except (FettleError, OSError):  # a full disk is the artifact's matter
        raise
    except Exception as error:  # quantizers have no common base of their errors
        raise OptimizeError(f"{source.file} cannot be brought to {config.precision} for {runtime}: {error}") from error
    return result


def for_machine(config: QuantizeConfig, machine: Passport) -> QuantizeConfig:
    """Return ``config`` with ``reduce_range`` decided: 7-bit weights where the machine's 8-bit products overflow."""
    if config.reduce_range is not None or config.precision != "int8":
        return config
    return config.model_copy(update={"reduce_range": machine.int8_overflows})


def check_answers(source: Export, result: Export, images: np.ndarray, *, runtimes: tuple[str, str]) -> None:
    """Refuse a model that low precision has ruined: whatever it sees, it says the same.

    Args:
        source: The float model.
        result: The same in low precision.
        images: Images to ask both about, (N, S, S, 3) uint8.
        runtimes: In which runtime each is asked.

    Raises:
        RuinedError: If an answer is not finite, or all are alike where those of ``source`` are not.
    """
    pairs = list(zip(_answers(source, images, runtimes[0]), _answers(result, images, runtimes[1]), strict=True))
    if not all(np.isfinite(after).all() for _, after in pairs):
        raise RuinedError(f"In {result.precision} the model answers NaN or infinity: keep more layers in float.")
    before, after = (max(np.ptp(answer, axis=0).max() for answer in answers) for answers in zip(*pairs, strict=True))
    if after < ALIKE and before > DIFFERENT:
        raise RuinedError(f"In {result.precision} the model answers the same for all images: keep layers in float.")
    change = max(
        np.abs(after - before).max()
        for output, (before, after) in zip(source.outputs, pairs, strict=True)
        if output.name in SCORES
    )
    log.info("%s for %s: largest change of a score %.3g", result.precision, runtimes[1], change)


def _answers(export: Export, images: np.ndarray, runtime: str) -> tuple[np.ndarray, ...]:
    """Return all that the model can answer: low scores too, where it has thresholds."""
    with tempfile.TemporaryDirectory(prefix="fettle-") as folder:
        if curve := full_curve(export):
            export = set_thresholds(export, Path(folder), **curve)
        with open_engine(runtime, export.file, options=export.runtime_options(runtime)) as engine:
            return engine(images)


def _find_method(config: QuantizeConfig, runtime: str) -> Method:
    lever = "int8-dynamic" if config.precision == "int8" and config.mode == "dynamic" else config.precision
    if (lever, runtime) not in METHODS:
        able = ", ".join(RUNTIMES.get(lever, ())) or "none"
        raise OptimizeError(f"{runtime} cannot run {lever}: the runtimes that can are {able}.")
    if lever == "bf16" and not passport().native_bf16:
        raise HardwareError(f"bf16 needs AVX-512 BF16, AMX or Arm BF16, which {passport().cpu} does not have.")
    return METHODS[lever, runtime]


def prepare_for_tensorrt(source: Export, file: Path, images: np.ndarray, *, config: TensorRTConfig) -> None:
    """Write the ONNX file that TensorRT builds from: precision is in the graph.

    Raises:
        OptimizeError: If the source is not a float ONNX file.
    """
    _check_float(source)
    PREPARATIONS[config.precision](source.file, file, images)


def _check_float(source: Export) -> None:
    if source.format != "onnx" or source.precision != "float32":
        raise OptimizeError(f"{source.path} is {source.format} in {source.precision}: take a float32 ONNX export.")


def _copy(source: Path, file: Path, _: np.ndarray, config: QuantizeConfig) -> None:
    del config
    shutil.copyfile(source, file)


def _onnx_static(source: Path, file: Path, images: np.ndarray, config: QuantizeConfig) -> None:
    from fettle.optimize.onnx_quantization import quantize_onnx

    quantize_onnx(source, file, images, config=config)


def _onnx_dynamic(source: Path, file: Path, _: np.ndarray, config: QuantizeConfig) -> None:
    from fettle.optimize.onnx_quantization import quantize_onnx_dynamic

    quantize_onnx_dynamic(source, file, config=config)


def _onnx_fp16(source: Path, file: Path, _: np.ndarray, config: QuantizeConfig) -> None:
    from fettle.optimize.onnx_quantization import to_fp16

    to_fp16(source, file, config=config)


def _openvino_static(source: Path, file: Path, images: np.ndarray, config: QuantizeConfig) -> None:
    from fettle.optimize.openvino_quantization import quantize_openvino

    quantize_openvino(source, file, images, config=config)


def _openvino_fp16(source: Path, file: Path, _: np.ndarray, config: QuantizeConfig) -> None:
    from fettle.optimize.openvino_quantization import to_openvino_fp16

    del config
    to_openvino_fp16(source, file)


def _tensorrt_int8(source: Path, file: Path, images: np.ndarray) -> None:
    from fettle.optimize.onnx_quantization import TENSORRT, quantize_onnx

    quantize_onnx(source, file, images, config=QuantizeConfig(), target=TENSORRT)


METHODS: Mapping[tuple[str, str], Method] = MappingProxyType(
    {
        ("float32", "onnxruntime"): Method(_copy, "onnx"),
        ("float32", "openvino"): Method(_copy, "onnx"),
        ("int8", "onnxruntime"): Method(_onnx_static, "onnx"),
        ("int8", "openvino"): Method(_openvino_static, "openvino"),
        ("int8-dynamic", "onnxruntime"): Method(_onnx_dynamic, "onnx"),
        ("fp16", "onnxruntime"): Method(_onnx_fp16, "onnx"),
        ("fp16", "openvino"): Method(_openvino_fp16, "openvino"),
        # The float graph as it is; the plugin is told to compute in bfloat16.
        ("bf16", "openvino"): Method(_copy, "onnx", {"HINT_BF16": "YES"}),
    }
)

PREPARATIONS: Mapping[str, Callable[[Path, Path, np.ndarray], None]] = MappingProxyType(
    {
        "float32": lambda source, file, images: _copy(source, file, images, QuantizeConfig()),
        "fp16": lambda source, file, images: _onnx_fp16(source, file, images, QuantizeConfig()),
        "int8": _tensorrt_int8,
    }
)
