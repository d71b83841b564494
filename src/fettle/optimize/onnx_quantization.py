"""Lower precision of an ONNX file by ONNX Runtime's quantizer and onnxconverter-common.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnxconverter_common import float16
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from fettle.errors import OptimizeError
from fettle.optimize.calibration import batches
from fettle.optimize.nodes import float_nodes, onnx_graph
from fettle.optimize.quiet import quiet
from fettle.spec import QuantizeConfig

CALIBRATION_BATCH = 4
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
# Measured with AVX512-VNNI: ResNet-50 at 128 px takes 28 ms in float, 8.4 with unsigned activations
# and 18 with signed ones; per-channel weights cost nothing, and operators left in float cost more.
CPU: Mapping[str, Any] = MappingProxyType({"activation_type": QuantType.QUInt8, "extra_options": {}})
# TensorRT takes symmetric int8 only, float biases, and Q/DQ in front of its own fusions.
TENSORRT: Mapping[str, Any] = MappingProxyType(
    {
        "activation_type": QuantType.QInt8,
        "op_types_to_quantize": ["Conv", "Gemm", "MatMul", "Add", "MaxPool", "GlobalAveragePool"],
        "extra_options": {"ActivationSymmetric": True, "AddQDQPairToWeight": True, "QuantizeBias": False},
    }
)


def quantize_onnx(
    source: Path, file: Path, images: np.ndarray, *, config: QuantizeConfig, target: Mapping[str, Any] = CPU
) -> int:
    """Write a static INT8 copy of ``source``: Q/DQ nodes, weights in int8 per output channel.

    Args:
        source: Float ONNX file of :func:`fettle.export.onnx.export_onnx`.
        file: Where to write.
        images: Calibration images, (N, S, S, 3) uint8.
        config: Calibration method, nodes to keep in float, range of the weights.
        target: ``CPU`` or ``TENSORRT``: how activations are quantized.

    Returns:
        How many layers with weights run on quantized inputs.

    Raises:
        OptimizeError: If no layer was quantized.
    """
    graph = onnx_graph(onnx.load(source).graph)
    options = {"CalibStridedMinMax": 1, "CalibTensorRangeSymmetric": False, **target["extra_options"]}
    with tempfile.TemporaryDirectory() as folder, quiet():
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(source, ready, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            ready,
            file,
            _Reader(images),
            per_channel=True,
            reduce_range=bool(config.reduce_range),
            weight_type=QuantType.QInt8,
            nodes_to_exclude=float_nodes(graph, config.keep_float),
            calibrate_method=METHODS[config.calibration],
            **{**target, "extra_options": options},
        )
    return _count(file, "DequantizeLinear")


def quantize_onnx_dynamic(source: Path, file: Path, *, config: QuantizeConfig) -> int:
    """Write a dynamic INT8 copy: weights in int8, activations quantized while running.

    Meant for linear layers; convolutions become ConvInteger, several times slower than float on CPUs.
    The range of an activation is that of the whole batch: an answer depends on who shares the batch.

    Returns:
        How many layers have integer weights.

    Raises:
        OptimizeError: If none has.
    """
    kept = float_nodes(onnx_graph(onnx.load(source).graph), config.keep_float)
    # ConvInteger in ONNX Runtime takes unsigned weights only.
    with quiet():
        quantize_dynamic(source, file, weight_type=QuantType.QUInt8, nodes_to_exclude=kept)
    return _count(file, "DynamicQuantizeLinear")


def to_fp16(source: Path, file: Path, *, config: QuantizeConfig) -> None:
    """Write a copy that computes in float16; input, output, normalization and head stay as they are."""
    model = onnx.load(source)
    kept = float_nodes(onnx_graph(model.graph), config.keep_float)
    half = float16.convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
    onnx.save(half, file)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """A few images at a time: the calibrators keep every activation of what they are given at once."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches = list(batches(images, CALIBRATION_BATCH))
        self._range = iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._range = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._range, None)
        return None if batch is None else {"image": batch}


def _count(file: Path, quantizer: str) -> int:
    """Count the layers with weights that take their input from a ``quantizer`` node."""
    graph = onnx.load(file).graph
    made = {output for node in graph.node if node.op_type == quantizer for output in node.output}
    layers = ("Conv", "Gemm", "MatMul", "ConvInteger", "MatMulInteger")
    count = sum(node.op_type in layers and node.input[0] in made for node in graph.node)
    if count == 0:
        raise OptimizeError("No layer was quantized: `quantize.keep_float` keeps all of them in float.")
    return count
