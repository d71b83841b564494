"""Artifacts that several rooms' tests begin with, made without torch."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fettle import card
from fettle.card import Artifact
from fettle.export import Export, Tensor
from fettle.spec import DatasetConfig
from fettle.steps.ingest import ingest

MakeExport = Callable[..., Path]
SIZE = 32


@pytest.fixture(scope="session")
def castings_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``dataset`` artifact of 60 castings at 32 px."""
    folder = tmp_path_factory.mktemp("castings")
    config = DatasetConfig(layout="castings", path=str(folder / "source"), count=60)
    return ingest(folder / "source", folder / "dataset", dataset=config, image_size=SIZE).path


@pytest.fixture
def make_export(tmp_path: Path) -> MakeExport:
    """Make an ``export`` artifact of a classifier that looks at the mean colour.

    ``weights`` (3, C) and ``bias`` (C,) say how; ``softmax`` off gives raw scores; ``parents`` are cards.
    """

    def make(recipe: str = "baseline", **options: object) -> Path:
        o = SimpleNamespace(
            **{"weights": np.ones((3, 2)), "bias": [0, 1], "softmax": True, "precision": "float32", "parents": {}}
            | {"classes": ("defective", "ok"), "padding": 0}
            | options
        )
        path = tmp_path / f"export-{recipe}"
        with card.create(path, kind="export", name=recipe, config={"recipe": recipe}, parents=o.parents) as draft:
            graph = _graph(np.asarray(o.weights), np.asarray(o.bias), softmax=o.softmax, padding=o.padding)
            onnx.save(graph, draft.path / "model.onnx")
            Export(
                path=draft.path, task="classify", classes=o.classes, recipe=recipe, format="onnx",
                precision=o.precision, runtimes=("onnxruntime", "openvino"),
                input=Tensor("image", "uint8", (SIZE, SIZE, 3)),
                outputs=(Tensor("probabilities", "float32", (len(o.classes),)),),
            ).save()  # fmt: skip
        return path

    return make


@pytest.fixture
def trained_model(tmp_path: Path) -> Artifact:
    """A stand-in for a ``model`` artifact: only its card matters."""
    with card.create(tmp_path / "model", kind="model", name="resnet18") as draft:
        (draft.path / "model.json").write_text("{}")
    return Artifact.open(tmp_path / "model")


def _graph(weights: np.ndarray, bias: np.ndarray, *, softmax: bool, padding: int) -> onnx.ModelProto:
    constants = {
        "scale": np.float32(1 / 255), "axes": np.array([1, 2]), "weights": weights.astype(np.float32),
        "bias": bias.astype(np.float32), "padding": np.zeros(padding, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "axes"], ["colour"], keepdims=0),
        helper.make_node("Gemm", ["colour", "weights", "bias"], ["scores"]),
        helper.make_node("Softmax" if softmax else "Identity", ["scores"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", weights.shape[1]])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
