"""Lower precision for OpenVINO: INT8 by NNCF, half-precision weights by OpenVINO itself.

https://docs.openvino.ai/nightly/openvino-workflow/model-optimization-guide/quantizing-models-post-training.html
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset15 as opset

from fettle.errors import OptimizeError
from fettle.optimize.nodes import WEIGHTED, float_nodes, openvino_graph
from fettle.optimize.quiet import quiet
from fettle.spec import QuantizeConfig

# NNCF's histogram method looks for the range of least squared error, where entropy asks for least divergence.
RANGES = {"minmax": "MINMAX", "percentile": "MEAN_QUANTILE", "entropy": "HISTOGRAM"}
COUNTED = re.compile(r"^([A-Za-z]+)_\d+$")


def quantize_openvino(source: Path, file: Path, images: np.ndarray, *, config: QuantizeConfig) -> int:
    """Write a static INT8 copy of an ONNX file as an IR; activations are asymmetric, weights per channel.

    Args:
        source: Float ONNX file of :func:`fettle.export.onnx.export_onnx`.
        file: ``model.xml``; the weights go to the ``.bin`` beside it.
        images: Calibration images, (N, S, S, 3) uint8.
        config: Calibration method, corrections, nodes to keep in float, range of the weights.

    Returns:
        How many FakeQuantize operations the model has.

    Raises:
        OptimizeError: If no layer was quantized.
    """
    with _no_telemetry(), quiet():
        import nncf  # takes seconds, and imports torch
        from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters, OverflowFix
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        model = ov.convert_model(source)
        kept = float_nodes(openvino_graph(model), config.keep_float)
        quantized = nncf.quantize(
            model,
            nncf.Dataset([image[None] for image in images]),
            subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED,
            fast_bias_correction=config.bias_correction == "fast",
            # SmoothQuant is NNCF's for this kind of model alone.
            model_type=nncf.ModelType.TRANSFORMER if config.smooth_quant is not None else None,
            ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=getattr(RangeEstimatorParametersSet, RANGES[config.calibration]),
                # NNCF's default reduces the first layer's weights alone.
                overflow_fix=OverflowFix.ENABLE if config.reduce_range else OverflowFix.FIRST_LAYER,
                smooth_quant_alphas=AdvancedSmoothQuantParameters(
                    matmul=-1 if config.smooth_quant is None else config.smooth_quant
                ),
            ),
        )
    count = [node.get_type_name() for node in quantized.get_ops()].count("FakeQuantize")
    if count == 0:
        raise OptimizeError("No layer was quantized: `quantize.keep_float` keeps all of them in float.")
    _save(quantized, file)
    return count


def to_openvino_fp16(source: Path, file: Path) -> None:
    """Write an IR whose layers have their weights stored as float16; the arithmetic is the plugin's choice."""
    with _no_telemetry():
        model = ov.convert_model(source)
    for node in model.get_ops():
        if node.get_type_name() in WEIGHTED and node.input_value(1).get_node().get_type_name() == "Constant":
            half = opset.constant(node.input_value(1).get_node().get_data().astype(np.float16))
            node.input(1).replace_source_output(opset.convert(half, "f32").output(0))
    _save(model, file)


def _save(model: ov.Model, file: Path) -> None:
    """Write the same bytes for the same model."""
    # How it was converted (folders, versions) is no part of the model, nor are names that count on
    # through the life of the process, such as Constant_234851.
    for key in ("conversion_parameters", "nncf"):
        model.set_rt_info("", [key])
    for index, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(COUNTED.sub(rf"\1_{index}", node.get_friendly_name()))
    ov.save_model(model, file, compress_to_fp16=False)


@contextlib.contextmanager
def _no_telemetry() -> Iterator[None]:
    """Make OpenVINO and NNCF believe that they run in CI, where they send no usage reports."""
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before
