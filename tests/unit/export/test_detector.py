"""An exported detector against its network: pre-processing by hand, suppression by torchvision."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from fettle.errors import OptimizeError
from fettle.export import onnx as room
from fettle.export.onnx import export_onnx
from fettle.export.reference import suppress
from fettle.hardware import passport
from fettle.runtimes import open_engine
from fettle.spec import DetectionConfig

CONFIG = DetectionConfig(confidence=0.4)


@pytest.fixture(scope="module")
def file(detector, detection, tmp_path_factory):
    path = tmp_path_factory.mktemp("detector") / "model.onnx"
    export_onnx(detector, detection, path, detections=CONFIG)
    return path


@pytest.fixture
def expected(detector, images):
    with torch.no_grad():
        candidates = detector(torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(255)))
    return [output.numpy() for output in suppress(candidates, CONFIG, image_size=32)]


def test_it_answers_as_the_network(file, images, expected):
    with open_engine("onnxruntime", file) as engine:
        answers = engine(images)
    assert expected[3].min() > 0, "there must be something to see"
    np.testing.assert_array_equal(answers[3], expected[3])
    np.testing.assert_array_equal(answers[2], expected[2])
    np.testing.assert_allclose(answers[1], expected[1], atol=1e-5)
    np.testing.assert_allclose(answers[0], expected[0], atol=1e-3)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_image_has_the_same_answer_alone_and_in_any_batch(file, images, runtime):
    with open_engine(runtime, file) as engine:
        exact = engine.precision in ("as exported", "float32")
        batch = engine(images)
        assert [output.dtype.name for output in batch] == ["float32", "float32", "int32", "int32"]
        for size in (1, 3, 16):
            parts = [engine(images[start : start + size]) for start in range(0, 16, size)]
            for whole, answer in zip(batch, (np.concatenate(part) for part in zip(*parts, strict=True)), strict=True):
                if exact:
                    np.testing.assert_array_equal(answer, whole)
                else:  # bfloat16 kernels of another batch sum in another order
                    np.testing.assert_allclose(answer, whole, atol=0.1)


def test_the_graph_is_valid_and_says_its_outputs(file):
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in model.graph.output
    }
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert shapes == {"boxes": [batch, 10, 4], "scores": [batch, 10], "labels": [batch, 10], "count": [batch, 1]}
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert [entry.domain for entry in model.opset_import] == [""]


def test_the_same_weights_give_the_same_bytes(detector, detection, file, tmp_path):
    export_onnx(detector, detection, tmp_path / "again.onnx", detections=CONFIG)
    assert (tmp_path / "again.onnx").read_bytes() == file.read_bytes()


def test_a_graph_that_answers_differently_is_refused(detector, detection, images, file):
    def moved(batch):
        boxes, *rest = suppress(detector(batch.permute(0, 3, 1, 2) / 255), CONFIG, image_size=32)
        return (boxes + 0.5, *rest)

    with pytest.raises(OptimizeError, match="differs from the network"):
        room.check_parity(moved, file, 32)


def test_a_network_that_is_no_detector_is_refused(network, detection, tmp_path):
    with pytest.raises(OptimizeError, match=r"cannot be exported|boxes"):
        export_onnx(network, detection, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


class Expectation(nn.Module):
    """DFL as Ultralytics writes it, behind a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.bins = nn.Conv2d(3, 32, 3, 4, 1), nn.Conv2d(16, 1, 1, bias=False)
        self.bins.weight.data[:] = torch.arange(16.0).view(1, 16, 1, 1)

    def forward(self, x):
        raw = self.layer(x).flatten(2)
        return self.bins(raw.view(-1, 2, 16, raw.shape[2]).transpose(1, 2).softmax(1)).flatten(1)


def test_an_expectation_over_bins_is_no_layer(architecture, tmp_path):
    net = Expectation().eval()
    export_onnx(net, replace(architecture, classes=("a",) * 128), tmp_path / "model.onnx")  # compared with the network
    graph = onnx.load(tmp_path / "model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("Conv") == 1
    assert kinds.count("ReduceSum") == 1
    assert {"bins/Mul", "bins/ReduceSum"} <= {node.name for node in graph.node}


def test_other_kernels_of_one_channel_stay_convolutions(architecture, tmp_path):
    net = Expectation().eval()
    net.bins.weight.data[0, 3] = 3.5
    export_onnx(net, replace(architecture, classes=("a",) * 128), tmp_path / "model.onnx")
    assert [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node].count("Conv") == 2


@pytest.mark.skipif(not passport().native_bf16, reason="this CPU has no bf16")
def test_bfloat16_moves_no_box_by_more_than_it_must(file, images, tmp_path):
    """Decoding runs in float32, so what is left is the rounding of the network itself."""
    with open_engine("openvino", file, options={"HINT_BF16": "YES"}) as engine:
        assert engine.precision == "bfloat16"
        layers = [node.get_rt_info() for node in engine.compiled.get_runtime_model().get_ordered_ops()]
    behind = [info for info in layers if "postprocess/" in info["originalLayersNames"].astype(str)]
    assert len(behind) > 10
    assert not any(info["runtimePrecision"].astype(str) == "bf16" for info in behind)
