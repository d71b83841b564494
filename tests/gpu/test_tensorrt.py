"""A TensorRT engine gives the network's answers, on a machine that can build one."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fettle.errors import HardwareError, ServeError
from fettle.export import set_thresholds
from fettle.export.manifest import MANIFEST, Tensor
from fettle.export.onnx import describe, export_onnx
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


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 4, 1), nn.SiLU(), nn.Conv2d(16, 7, 1))

    def forward(self, x):
        raw = self.body(x).flatten(2).transpose(1, 2)
        cells = torch.arange(raw.shape[1])
        centre = torch.stack((cells % 8, cells // 8), 1) * 4 + raw[..., :2].sigmoid() * 4
        half = raw[..., 2:4].sigmoid() * 8
        return torch.cat((centre - half, centre + half), 2), raw[..., 4:].sigmoid()


@pytest.mark.parametrize("precision", ["float32", "fp16", "int8"])
def test_a_detector_answers_as_in_onnxruntime_and_takes_other_thresholds(images, tmp_path, precision):
    torch.manual_seed(0)
    network = Detector().eval()
    nn.init.normal_(network.body[2].weight, std=1.0)
    architecture = Architecture("detect", "net", ("a", "b", "c"), SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)
    file = tmp_path / "float.onnx"
    export_onnx(network, architecture, file)
    with open_engine("onnxruntime", file) as reference:
        expected = reference(images[:MAX_BATCH])
    (tmp_path / "plan").mkdir()
    graph = tmp_path / "plan" / "model.onnx"
    PREPARATIONS[precision](file, graph, images)
    export = replace(
        describe(tmp_path / "plan", architecture, recipe="trt", resize="squash"), format="tensorrt", precision=precision
    )
    built = build_engine(graph, export.file, image=export.input, max_batch=MAX_BATCH, workspace_gb=1)
    export = replace(export, passport=built)
    export.save()
    with open_engine("tensorrt", export.file) as engine:
        answers = engine(images[:MAX_BATCH])
        alone = engine(images[:1])
    assert [output.dtype.name for output in answers] == ["float32", "float32", "int32", "int32"]
    assert [output.shape for output in answers] == [output.shape for output in expected]
    np.testing.assert_allclose(answers[1][:, 0], expected[1][:, 0], atol=0.05)
    np.testing.assert_array_equal(alone[3], answers[3][:1])
    (tmp_path / "few").mkdir()
    few = set_thresholds(export, tmp_path / "few", max_detections=2)
    few.save()
    with open_engine("tensorrt", few.file) as engine:
        np.testing.assert_allclose(engine(images[:1])[1], alone[1][:, :2], atol=1e-3)
