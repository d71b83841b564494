"""The exported graph against the network, with the pre-processing written out by hand."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from fettle.errors import OptimizeError
from fettle.export import onnx as room
from fettle.export.onnx import export_onnx
from fettle.export.traces import OPSET
from fettle.runtimes import open_engine


@pytest.fixture
def file(network, architecture, tmp_path):
    export_onnx(network, architecture, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def expected(network, architecture, images):
    pixels = (images / 255 - np.array(architecture.mean)) / np.array(architecture.std)
    with torch.no_grad():
        logits = network(torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))).numpy()
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize(("runtime", "tolerance"), [("onnxruntime", 1e-5), ("openvino", 5e-2)])
def test_both_runtimes_answer_as_the_network(file, images, expected, runtime, tolerance):
    assert np.ptp(expected, axis=0).max() > 0.01, "the images must not look alike to the network"
    with open_engine(runtime, file) as engine:
        np.testing.assert_allclose(engine(images)[0], expected, atol=tolerance)
        np.testing.assert_allclose(np.concatenate([engine(x[None])[0] for x in images]), expected, atol=tolerance)


def test_the_graph_is_valid_small_and_named_after_the_modules(file):
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["probabilities"]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert shape[0].dim_param
    assert [dim.dim_value for dim in shape[1:]] == [32, 32, 3]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert model.opset_import[0].version == OPSET
    kinds = [node.op_type for node in model.graph.node]
    assert not {"BatchNormalization", "Dropout", "Shape", "Gather", "Identity", "ReduceMean"} & set(kinds)
    assert kinds.count("GlobalAveragePool") == 2
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert {"preprocess/Cast", "stem.0/Conv", "depthwise.0/Conv", "head/Gemm", "postprocess/Softmax"} <= set(names)


def test_no_weights_lie_beside_the_file(file):
    assert [path.name for path in file.parent.iterdir()] == ["model.onnx"]


def test_the_same_weights_give_the_same_bytes(network, architecture, file, tmp_path):
    export_onnx(network, architecture, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == file.read_bytes()


def test_another_process_gives_the_same_bytes(tmp_path):
    """Digests are the cache's keys; ``PYTHONHASHSEED`` differs between processes."""
    code = """
import sys, torch
from pathlib import Path
from fettle.export.onnx import export_onnx
from fettle.models import Architecture
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
                          torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
export_onnx(net, Architecture("classify", "net", ("a", "b"), 16), Path(sys.argv[1]))
"""
    digests = set()
    for name in ("one.onnx", "two.onnx"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "", "stdout is data"
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_the_network_is_left_as_it_was(network, architecture, tmp_path):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_onnx(network, architecture, tmp_path / "model.onnx")
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_ruined_weights_are_refused(network, architecture, tmp_path, value):
    network.stem[1].running_var[3] = value
    with pytest.raises(OptimizeError, match=r"stem\.1\.running_var"):
        export_onnx(network, architecture, tmp_path / "model.onnx")


def test_a_task_without_head_is_refused(network, architecture, tmp_path):
    with pytest.raises(OptimizeError, match="segment"):
        export_onnx(network, replace(architecture, task="segment"), tmp_path / "model.onnx")


def test_a_network_that_cannot_be_traced_is_refused_in_a_sentence(architecture, tmp_path):
    class Moody(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)) if x.sum().item() > 0 else x.amax((2, 3))

    with pytest.raises(OptimizeError, match="cannot be exported"):
        export_onnx(Moody(), architecture, tmp_path / "model.onnx")


def test_a_graph_that_answers_differently_is_refused(network, architecture, file):
    """The check must see a graph of other weights."""
    served = room.Served(network, architecture).eval()
    room.check_parity(served, file, 32)
    network.head.bias.data[0] += 0.01
    with pytest.raises(OptimizeError, match="differs from the network"):
        room.check_parity(served, file, 32)


def test_without_the_simplifier_the_export_still_works(network, architecture, tmp_path, monkeypatch, caplog):
    def fail(model):
        raise RuntimeError("no such operator")

    monkeypatch.setattr("fettle.export.tidy.onnxsim.simplify", fail)
    export_onnx(network, architecture, tmp_path / "model.onnx")
    assert "onnxsim failed (no such operator)" in caplog.text
