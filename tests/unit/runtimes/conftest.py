"""A tiny ONNX file whose answers numpy can compute."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

SIZE, CLASSES = 8, 4
Weights = np.ndarray


def write_model(file: Path, weights: Weights, *, dtype: int = TensorProto.UINT8, batch: str | int = "batch") -> Path:
    """Mean colour of the image times ``weights`` (3, C), softmax."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("image", dtype, [batch, SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(np.array([1, 2]), "axes"), numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), file)
    return file


@pytest.fixture
def weights() -> Weights:
    return np.random.default_rng(0).normal(size=(3, CLASSES)).astype(np.float32) / 50


@pytest.fixture
def make_model(tmp_path: Path, weights: Weights) -> Callable[..., Path]:
    return lambda **options: write_model(tmp_path / "other.onnx", weights, **options)


@pytest.fixture
def model(tmp_path: Path, weights: Weights) -> Path:
    return write_model(tmp_path / "model.onnx", weights)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def expected(images: np.ndarray, weights: Weights) -> np.ndarray:
    logits = images.mean((1, 2)) @ weights
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
