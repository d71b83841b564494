"""Detectors in lower precision: decoding and suppression stay in float, sensitive layers are found and kept."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from fettle.errors import OptimizeError
from fettle.export.onnx import describe, export_onnx
from fettle.models import Architecture
from fettle.optimize import recovery
from fettle.optimize.nodes import WEIGHTED, behind_the_network, float_nodes, onnx_graph
from fettle.optimize.quantization import prepare_for_tensorrt, quantize
from fettle.optimize.recovery import quantize_within
from fettle.optimize.sensitivity import rank_layers
from fettle.runtimes import open_engine
from fettle.spec import DetectionConfig, QuantizeConfig, TensorRTConfig

SIZE, CONFIG = 32, DetectionConfig(confidence=0.3)


class Detector(nn.Module):
    """One scale; its second layer has one weight so large that 8 bits leave nothing of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 4, 1), nn.SiLU())
        self.bad = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.SiLU())
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.SiLU())
        self.head = nn.Conv2d(16, 7, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raw = self.head(self.body(self.bad(self.stem(x)))).flatten(2).transpose(1, 2)
        cells = torch.arange(raw.shape[1])
        centre = torch.stack((cells % 8, cells // 8), 1) * 4 + raw[..., :2].sigmoid() * 4
        half = raw[..., 2:4].sigmoid() * 8
        return torch.cat((centre - half, centre + half), 2), raw[..., 4:].sigmoid()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    torch.manual_seed(0)
    net = Detector().eval()
    nn.init.normal_(net.head.weight, std=1.0)
    net.bad[0].weight.data[:, 0, 0, 0] = 300.0
    net.stem[0].weight.data[0] = 0  # what it reads there is nearly nothing
    net.stem[0].bias.data[0] = 0
    folder = tmp_path_factory.mktemp("detector")
    architecture = Architecture("detect", "small", ("a", "b", "c"), SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)
    export_onnx(net, architecture, folder / "model.onnx", detections=CONFIG)
    return describe(folder, architecture, recipe="baseline", resize="squash", detections=CONFIG)


def ask(export, runtime, images):
    with open_engine(runtime, export.file, options=export.runtime_options(runtime)) as engine:
        return engine(images)


def alike(mine, theirs):
    """Share of equal labels, a stand-in for the accuracy."""
    return float((mine[2] == theirs[2]).mean())


def test_what_follows_the_predictors_stays_in_float(source):
    graph = onnx_graph(onnx.load(source.file).graph)
    behind = behind_the_network(graph)
    assert {"postprocess/selected", "postprocess/sorted"} <= set(behind)
    assert not any(graph[name].kind in WEIGHTED for name in behind)
    decoding = [name for name in behind if not name.startswith("postprocess/")]
    assert {graph[name].kind for name in decoding} >= {"Sigmoid", "Mul", "Concat"}
    assert "stem.1/Sigmoid" not in behind, "SiLU inside the network is quantized"


@pytest.mark.parametrize(("precision", "runtime"), [("int8", "onnxruntime"), ("fp16", "onnxruntime")])
def test_an_onnx_file_has_no_low_precision_behind_the_network(source, images, tmp_path, precision, runtime):
    made = quantize(
        source, tmp_path, images, config=QuantizeConfig(precision=precision, keep_float=["bad"]), runtime=runtime
    )
    model = onnx.shape_inference.infer_shapes(onnx.load(made.file))
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    behind = set(behind_the_network(onnx_graph(onnx.load(source.file).graph)))
    values = [name for node in model.graph.node if node.name in behind for name in node.output if name in kinds]
    assert len(values) > 10
    low = {onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8, onnx.TensorProto.INT8}
    assert not [name for name in values if kinds[name] in low]


@pytest.mark.parametrize(
    ("precision", "runtime"),
    [("int8", "onnxruntime"), ("int8", "openvino"), ("fp16", "onnxruntime"), ("fp16", "openvino")],
)
def test_boxes_stay_where_they_are(source, images, tmp_path, precision, runtime):
    keep = ["bad"] if precision == "int8" else []
    config = QuantizeConfig(precision=precision, keep_float=keep)
    made = quantize(source, tmp_path, images, config=config, runtime=runtime)
    assert made.thresholds == source.thresholds
    assert made.outputs == source.outputs
    boxes, scores, labels, count = ask(made, runtime, images)
    wanted = ask(source, "onnxruntime", images)
    assert wanted[3].min() > 0
    assert np.abs(count - wanted[3]).max() <= 2
    np.testing.assert_allclose(scores[:, 0], wanted[1][:, 0], atol=0.05)
    same = labels[:, 0] == wanted[2][:, 0]
    assert same.mean() > 0.8
    near = np.abs(boxes[:, 0] - wanted[0][:, 0]).max(1)
    assert np.median(near) < 0.5, "pixels"


def test_the_layer_that_suffers_is_found(source, images):
    ranked = rank_layers(source.file, images)
    assert next(iter(ranked)) == "bad.0/Conv"
    assert set(ranked) == {"stem.0/Conv", "bad.0/Conv", "body.0/Conv", "head/Conv"}
    first, second, *_ = ranked.values()
    assert first > 5 * second > 0


def test_a_layer_in_float_takes_its_activations_along(source):
    graph = onnx_graph(onnx.load(source.file).graph)
    kept = set(float_nodes(graph, ["^body.0/Conv$"])) - set(float_nodes(graph, []))
    assert kept == {"body.0/Conv", "body.1/Sigmoid", "body.1/Mul", "bad.1/Sigmoid", "bad.1/Mul"}


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_drop_is_held_by_the_fewest_layers_in_float(source, images, tmp_path, runtime):
    wanted = ask(source, "onnxruntime", images)
    tries = []

    def score(export):
        tries.append(alike(ask(export, runtime, images), wanted))
        return tries[-1]

    found = quantize_within(
        source, tmp_path, images, config=QuantizeConfig(max_drop=0.35), runtime=runtime, score=score
    )
    assert found.before - found.lowest > 0.35, "or the test says nothing"
    assert found.kept[0] == "bad.0/Conv"
    assert len(found.kept) <= 2
    assert found.after >= found.before - 0.35
    assert alike(ask(found.export, runtime, images), wanted) == found.after
    assert len(tries) <= 5


def test_what_cannot_be_held_is_said(source, images, tmp_path):
    def score(export):
        return 0.9 if export.precision == "float32" else 0.5

    with pytest.raises(OptimizeError, match=r"from 0\.9000 to 0\.5000, and still by more with 2 of 4 layers in float"):
        config = QuantizeConfig(max_drop=0.1, keep_float=["bad"])
        quantize_within(source, tmp_path, images, config=config, runtime="onnxruntime", score=score)


def test_nothing_else_is_tried_when_the_time_is_over(source, images, tmp_path):
    tries = []

    def score(export):
        tries.append(export.precision)
        return 0.9 if export.precision == "float32" else 0.5

    with pytest.raises(OptimizeError, match=r"from 0\.9000 to 0\.5000, and the time is over"):
        config = QuantizeConfig(max_drop=0.1, keep_float=["bad"])
        quantize_within(source, tmp_path, images, config=config, runtime="onnxruntime", score=score, until=0.0)
    assert tries == ["float32", "int8"]


def test_nothing_is_kept_where_nothing_is_lost(source, images, tmp_path):
    config = QuantizeConfig(max_drop=0.0, keep_float=["bad"])
    found = quantize_within(source, tmp_path, images, config=config, runtime="onnxruntime", score=lambda _: 0.7)
    assert found.kept == ()
    assert found.before == found.lowest == found.after == 0.7


@pytest.mark.parametrize("needed", range(1, 34))
def test_the_search_finds_the_smallest_count(needed):
    tried = []

    def passes(count):
        tried.append(count)
        return count >= needed

    assert recovery._fewest(32, passes) == (needed if needed <= 32 else None)
    assert len(tried) <= (12 if needed <= 32 else 1), "half of the layers tell whether fewer are worth a try"
    assert all(1 <= count <= 32 for count in tried)


@pytest.mark.parametrize("precision", ["float32", "fp16", "int8"])
def test_what_tensorrt_builds_from_answers_alike(source, images, tmp_path, precision):
    file = tmp_path / "model.onnx"
    prepare_for_tensorrt(source, file, images, config=TensorRTConfig(precision=precision))
    prepared = dataclasses.replace(source, path=tmp_path)
    assert ask(prepared, "onnxruntime", images)[0].shape == (16, 10, 4)
    graph = onnx.load(file).graph
    assert "NonMaxSuppression" in {node.op_type for node in graph.node}
