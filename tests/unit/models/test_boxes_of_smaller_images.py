"""A detector that looks at smaller images answers in pixels of the image that it is given, and learns so."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fettle.export.onnx import describe, export_onnx
from fettle.models import Architecture, build_model, load_model, save_model
from fettle.models.input_size import size_grid
from fettle.models.yolov5.anchors import default_anchors
from fettle.runtimes import open_engine
from fettle.search.layers import read_layers
from fettle.spec import DetectionLossConfig
from fettle.train.detection_loss import DetectionLoss

WHOLE, SMALL = 96, 64
ANCHORS = [[1.5 * side for side in anchor] for anchor in default_anchors(SMALL)]
OPTIONS: dict[str, dict[str, Any]] = {
    "yolov8": {},
    "yolov5_resnet": {"backbone": "test_resnet", "width": 32, "depth": 1},
}


def architecture(family: str) -> Architecture:
    options = {**OPTIONS[family], **({"anchors": ANCHORS} if family == "yolov5_resnet" else {})}
    return Architecture("detect", family, ("a", "b"), WHOLE, options, input_size=SMALL)


@pytest.fixture(params=["yolov8", "yolov5_resnet"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def networks(family: str) -> tuple[nn.Module, nn.Module]:
    """One that looks at smaller images, and one that is given them, with anchors as much smaller."""
    torch.manual_seed(0)
    small = architecture(family)
    options = {**OPTIONS[family], **({"anchors": default_anchors(SMALL)} if family == "yolov5_resnet" else {})}
    given = build_model(replace(small, image_size=SMALL, options=options, input_size=None)).eval()
    looking = build_model(small).eval()
    looking.load_state_dict(given.state_dict())
    return looking, given


def resized(images: torch.Tensor) -> torch.Tensor:
    return F.interpolate(images, (SMALL, SMALL), mode="bilinear", antialias=True, align_corners=False)


def test_boxes_are_in_pixels_of_the_whole_image(family: str) -> None:
    looking, given = networks(family)
    images = torch.rand(2, 3, WHOLE, WHOLE)
    with torch.no_grad():
        (boxes, scores), (expected, expected_scores) = looking(images), given(resized(images))
    torch.testing.assert_close(boxes, expected * WHOLE / SMALL, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(scores, expected_scores)
    assert size_grid(looking) == 32


def test_the_exported_graph_answers_so(family: str, tmp_path) -> None:
    looking, _ = networks(family)
    save_model(tmp_path, looking, architecture(family))
    loaded, read = load_model(tmp_path)
    (tmp_path / "export").mkdir()
    exported = describe(tmp_path / "export", read, recipe="small", resize="squash")
    export_onnx(loaded, read, exported.file)
    images = np.random.default_rng(0).integers(0, 256, (1, WHOLE, WHOLE, 3), dtype=np.uint8)
    with open_engine("onnxruntime", exported.file) as engine:
        assert engine(images)[0].shape[-1] == 4
    nodes = {node.name.partition("/")[0] for node in onnx.load(exported.file).graph.node}
    assert set(read_layers(loaded, torch.zeros(1, 3, WHOLE, WHOLE))) <= nodes, "the latency table goes by the names"


def test_ultralytics_validates_the_same_boxes() -> None:
    looking, given = networks("yolov8")
    for model, size in ((looking, WHOLE), (given, SMALL)):
        images = torch.rand(1, 3, size, size)
        with torch.no_grad():
            (boxes, scores), (theirs, _) = model(images), model.network(images)
        corners = torch.cat([theirs[:, :2] - theirs[:, 2:4] / 2, theirs[:, :2] + theirs[:, 2:4] / 2], 1)
        torch.testing.assert_close(corners.transpose(1, 2), boxes, rtol=1e-3, atol=1e-2)
        torch.testing.assert_close(theirs[:, 4:].transpose(1, 2), scores)


def test_yolov8_learns_from_the_same_boxes_as_with_smaller_images() -> None:
    from ultralytics.cfg import get_cfg

    from fettle.train.yolov8.criterion import Criterion

    found = []
    images = torch.rand(2, 3, WHOLE, WHOLE)
    batch = {"batch_idx": torch.tensor([0.0, 1.0]), "cls": torch.tensor([[0.0], [1.0]])}
    batch["bboxes"] = torch.tensor([[0.5, 0.5, 0.4, 0.6], [0.3, 0.6, 0.5, 0.5]])  # shares of the image
    for model, seen in zip(networks("yolov8"), (images, resized(images)), strict=True):
        model.network.args = get_cfg()
        model.train()
        found.append(Criterion(model.network, 0.0)(model(seen), batch)[0])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)


def test_yolov5_learns_from_the_same_boxes_as_with_smaller_images() -> None:
    found = []
    images = torch.rand(2, 3, WHOLE, WHOLE)
    targets = torch.tensor([[0, 0, 0.2, 0.2, 0.7, 0.8], [1, 1, 0.1, 0.4, 0.6, 0.9]])
    for model, seen, size in zip(networks("yolov5_resnet"), (images, resized(images)), (WHOLE, SMALL), strict=True):
        scaled = targets * torch.tensor([1, 1, size, size, size, size])
        model.train()
        found.append(DetectionLoss(DetectionLossConfig())(model(seen), scaled, model.decode)[0])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)
