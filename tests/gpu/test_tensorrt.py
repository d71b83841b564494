"""A TensorRT engine gives the network's answers, on a machine that can build one."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from fettle.errors import HardwareError, ServeError
from fettle.export.manifest import MANIFEST, Tensor
from fettle.export.onnx import export_onnx
from fettle.export.tensorrt import build_engine, check_device
from fettle.models import Architecture
from fettle.optimize.quantization import PREPARATIONS
from fettle.runtimes import open_engine

SIZE, MAX_BATCH = 32, 8


@pytest.fixture(scope="module", autouse=True)
def device():
    try:
        return check_device()
    except HardwareError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3),
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def graph(network, tmp_path):
    export_onnx(network, Architecture("classify", "net", ("a", "b", "c"), SIZE), tmp_path / "float.onnx")
    return tmp_path / "float.onnx"


def build(graph, images, precision, **options):
    prepared, plan = graph.with_name("prepared.onnx"), graph.with_name("model.plan")
    PREPARATIONS[precision](graph, prepared, images)
    image = Tensor("image", "uint8", (SIZE, SIZE, 3))
    passport = build_engine(prepared, plan, image=image, max_batch=MAX_BATCH, workspace_gb=1, **options)
    plan.with_name(MANIFEST).write_text(json.dumps({"passport": passport}))
    return plan


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-3), ("fp16", 5e-3), ("int8", 5e-2)])
def test_the_engine_answers_as_onnxruntime_in_float(graph, images, precision, tolerance):
    with open_engine("onnxruntime", graph) as reference:
        expected = reference(images)[0]
    with open_engine("tensorrt", build(graph, images, precision)) as engine:
        for size in (1, 3, MAX_BATCH):
            np.testing.assert_allclose(engine(images[:size])[0], expected[:size], atol=tolerance)
        with pytest.raises(ServeError, match="larger than the engine was built for"):
            engine(images)


def test_the_timing_cache_is_written_and_used_again(graph, images, tmp_path):
    cache = tmp_path / "timing.cache"
    build(graph, images, "fp16", timing_cache=cache)
    assert cache.stat().st_size > 0
    build(graph, images, "fp16", timing_cache=cache)


def test_a_plan_of_another_device_is_refused(graph, images, device):
    plan = build(graph, images, "float32")
    plan.with_name(MANIFEST).write_text(json.dumps({"passport": {**device, "gpu": "another"}}))
    with pytest.raises(HardwareError, match="built for gpu another"):
        open_engine("tensorrt", plan)
