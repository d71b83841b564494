"""Artifacts that several rooms' tests begin with, made without torch."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fettle import card
from fettle.card import Artifact
from fettle.data.boxes import Boxes, starts_of
from fettle.export import Export, Tensor
from fettle.export.suppression import add_suppression
from fettle.export.thresholds import detection_outputs
from fettle.spec import DatasetConfig, DetectionConfig
from fettle.steps.ingest import ingest

MakeExport = Callable[..., Path]
SIZE, TOLD = 32, 64


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
def told_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Make a ``dataset`` artifact of boxes from scenes by split: ``(truth, answers)``, an image each.

    Truth are ``(box, label)``, answers ``(box, percent, label)``, which the first rows of the image tell the
    detector of :func:`make_told_detector`. Boxes are whole pixels of the 64 px square.
    """

    def make(name: str = "told", classes: tuple[str, ...] = ("a", "b"), **splits: list[tuple[list, list]]) -> Path:
        scenes = [(split, *scene) for split, scenes in splits.items() for scene in scenes]
        boxes = [[box for box, _ in truth] for _, truth, _ in scenes]
        xyxy = np.array([box for image in boxes for box in image], np.float32).reshape(-1, 4)
        labels = np.array([label for _, truth, _ in scenes for _, label in truth], np.int64)
        areas = (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
        index = {
            "task": "detect", "classes": classes, "image_size": TOLD, "resize": "squash", "statistics": {},
            "counts": {split: dict.fromkeys(classes, 1) for split in ("train", *splits)},
        }  # fmt: skip
        records = [
            {"path": f"{i}.png", "label": -1, "split": split, "sha256": f"{i:064x}", "width": TOLD, "height": TOLD}
            for i, (split, _, _) in enumerate(scenes)
        ]
        with card.create(tmp_path / name, kind="dataset", name=name) as draft:
            np.save(draft.path / "images.npy", np.stack([_told_image(answers) for _, _, answers in scenes]))
            Boxes(xyxy, labels, starts_of(np.array([len(image) for image in boxes])), areas).save(draft.path)
            (draft.path / "dataset.json").write_text(json.dumps(index))
            (draft.path / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return tmp_path / name

    return make


@pytest.fixture
def make_told_detector(tmp_path: Path) -> Callable[..., Path]:
    """Make an ``export`` of a detector that reads its candidates out of the image; ``scale`` weakens the scores."""

    def make(recipe: str = "baseline", *, classes: tuple[str, ...] = ("a", "b"), scale: float = 1.0, **o: Any) -> Path:
        config = DetectionConfig(**{name: o.pop(name) for name in tuple(o) if name in DetectionConfig.model_fields})
        path = tmp_path / f"export-{recipe}"
        with card.create(path, kind="export", name=recipe, parents=o.get("parents", {})) as draft:
            onnx.save(
                add_suppression(_told_model(len(classes), scale), config, image_size=TOLD), draft.path / "model.onnx"
            )
            Export(
                path=draft.path, task="detect", classes=classes, recipe=recipe, format="onnx", precision="float32",
                runtimes=("onnxruntime", "openvino"), input=Tensor("image", "uint8", (TOLD, TOLD, 3)),
                outputs=detection_outputs(config.max_detections),
                thresholds=config.model_dump(include={"confidence", "iou", "max_detections"}),
            ).save()  # fmt: skip
        return path

    return make


def _told_image(answers: list[tuple[tuple[int, ...], int, int]]) -> np.ndarray:
    """Write candidate i into column i: left, top, right | bottom, percent, label."""
    image = np.zeros((TOLD, TOLD, 3), np.uint8)
    for column, (box, percent, label) in enumerate(answers):
        image[0, column], image[1, column] = box[:3], (box[3], percent, label)
    return image


def _told_model(classes: int, scale: float) -> onnx.ModelProto:
    graph = onnx.parser.parse_graph(
        f"""told (uint8[N, {TOLD}, {TOLD}, 3] image) =>
            (float[N, {TOLD}, 4] candidate_boxes, float[N, {TOLD}, {classes}] candidate_scores) {{
            pixels = Cast <to = 1> (image)
            first = Gather <axis = 1> (pixels, row_0)
            second = Gather <axis = 1> (pixels, row_1)
            bottom, percent, told_label = Split <axis = 2, num_outputs = 3> (second)
            candidate_boxes = Concat <axis = 2> (first, bottom)
            told_score = Mul (percent, hundredth)
            is_class = Equal (told_label, told_class)
            ones = Cast <to = 1> (is_class)
            candidate_scores = Mul (ones, told_score)
        }}"""
    )
    constants = {
        "row_0": np.array(0), "row_1": np.array(1), "hundredth": np.float32(scale / 100),
        "told_class": np.arange(classes, dtype=np.float32).reshape(1, 1, -1),
    }  # fmt: skip
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


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
