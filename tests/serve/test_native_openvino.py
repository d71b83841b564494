"""What Triton's native OpenVINO backend does with a file before it serves it, step by step.

https://github.com/triton-inference-server/openvino_backend/blob/main/src/openvino.cc (ValidateInputs, ValidateOutputs)
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from google.protobuf import text_format
from openvino.preprocess import PrePostProcessor
from tritonclient.grpc import model_config_pb2 as pb

from fettle.data import Subset
from fettle.export import set_thresholds
from fettle.export.manifest import Export
from fettle.publish.config import config_of
from fettle.runtimes import open_engine
from fettle.spec import ServeConfig

BATCH = 4
TYPES = {pb.TYPE_UINT8: ov.Type.u8, pb.TYPE_FP32: ov.Type.f32, pb.TYPE_INT32: ov.Type.i32}


@pytest.fixture
def export(colour_detector: Callable[..., Export], tmp_path: Path) -> Export:
    return set_thresholds(colour_detector(), tmp_path, max_detections=5)


def test_a_detector_compiled_for_the_largest_batch_answers_as_ours(export: Export, scenes: Subset) -> None:
    text = config_of(export, "openvino", name="m", version=1, serve=ServeConfig(max_batch=BATCH)).render()
    config = text_format.Parse(text, pb.ModelConfig())
    model = ov.Core().read_model(export.file)
    processor = PrePostProcessor(model)
    for tensor in config.input:
        processor.input(tensor.name).tensor().set_element_type(TYPES[tensor.data_type]).set_layout(ov.Layout("N..."))
    model = processor.build()
    ov.set_batch(model, BATCH)
    processor = PrePostProcessor(model)
    for tensor in config.output:
        processor.output(tensor.name).tensor().set_element_type(TYPES[tensor.data_type])
    model = processor.build()
    for tensor in config.output:
        shape = model.output(tensor.name).get_partial_shape()
        assert shape.is_static
        assert list(shape.to_shape()) == [BATCH, *tensor.dims]
    padded = np.zeros((BATCH, 64, 64, 3), np.uint8)
    padded[:3] = scenes.images[1:4]
    answers = ov.Core().compile_model(model, "CPU")(padded)
    with open_engine("openvino", export.file) as engine:
        expected = engine(np.ascontiguousarray(scenes.images[1:4]))
    for tensor, values in zip(config.output, expected, strict=True):
        np.testing.assert_allclose(answers[tensor.name][:3], values, atol=1e-3)
