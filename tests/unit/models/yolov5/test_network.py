"""The detector's contract: shapes, decoding and its inverse, what pruning keeps, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fettle.errors import SpecError
from fettle.models.architecture import Architecture
from fettle.models.files import load_model, save_model
from fettle.models.registry import build_model
from fettle.models.yolov5.anchors import default_anchors
from fettle.models.yolov5.decoding import Decoder

SIZE = 64
ROWS = 3 * (8 * 8 + 4 * 4 + 2 * 2)
OPTIONS = {"backbone": "test_resnet", "width": 16}
torch.set_num_threads(1)


def architecture(classes: int = 2, **options: object) -> Architecture:
    names = tuple(f"class{index}" for index in range(classes))
    return Architecture("detect", "yolov5_resnet", names, SIZE, {**OPTIONS, **options})


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return build_model(architecture())


def test_shapes_in_both_modes(model: nn.Module) -> None:
    images = torch.randn(3, 3, SIZE, SIZE)
    assert model.train()(images).shape == (3, ROWS, 7)
    boxes, scores = model.eval()(images)
    assert boxes.shape == (3, ROWS, 4)
    assert scores.shape == (3, ROWS, 2)
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    assert 0 <= scores.min() <= scores.max() < 0.05, "untrained, it should see hardly anything"


def test_an_image_is_answered_alone_as_in_a_batch(model: nn.Module) -> None:
    images = torch.randn(4, 3, SIZE, SIZE)
    with torch.inference_mode():
        together, alone = model.eval()(images), model(images[2:3])
    for batch, single in zip(together, alone, strict=True):
        torch.testing.assert_close(batch[2:3], single, atol=1e-5, rtol=1e-5)


def test_row_order_and_formula_follow_yolov5() -> None:
    """Each row against a loop over scales, anchors and cells, written down independently."""
    anchors = default_anchors(SIZE)
    rows = torch.randn(1, ROWS, 7)
    boxes, scores = Decoder(anchors, SIZE)(rows)
    share, at = 1 / (1 + np.exp(-rows[0].numpy())), 0
    for scale, stride in enumerate((8, 16, 32)):
        for anchor in anchors[3 * scale : 3 * scale + 3]:
            for y in range(SIZE // stride):
                for x in range(SIZE // stride):
                    p = share[at]
                    cx, cy = stride * (2 * p[0] - 0.5 + x), stride * (2 * p[1] - 0.5 + y)
                    w, h = anchor[0] * (2 * p[2]) ** 2, anchor[1] * (2 * p[3]) ** 2
                    expected = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                    np.testing.assert_allclose(boxes[0, at], expected, atol=1e-3)
                    np.testing.assert_allclose(scores[0, at], p[4] * p[5:], rtol=1e-5)
                    at += 1
    assert at == ROWS


def test_the_house_style_of_the_neck(model: nn.Module) -> None:
    layers = list(model.modules())
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.03, 1e-4)}
    biased = [layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.bias is not None]
    assert biased == list(model.predictors)
    assert len(model.predictors) == 3


def test_it_is_rebuilt_with_its_anchors_without_data(model: nn.Module, tmp_path: Path) -> None:
    anchors = [[float(side), side + 2.0] for side in range(4, 13)]
    made = build_model(architecture(anchors=anchors)).eval()
    save_model(tmp_path, made, architecture(anchors=anchors))
    loaded, _ = load_model(tmp_path)
    images = torch.randn(1, 3, SIZE, SIZE)
    with torch.inference_mode():
        for one, other in zip(made(images), loaded(images), strict=True):
            assert torch.equal(one, other)


def test_other_classes_keep_all_but_the_predictors(model: nn.Module, tmp_path: Path) -> None:
    save_model(tmp_path, model, architecture())
    other = build_model(architecture(classes=5), weights=str(tmp_path / "model.safetensors"))
    for one, same in zip(other.backbone.parameters(), model.backbone.parameters(), strict=True):
        assert torch.equal(one, same)
    assert other.predictors[0].out_channels == 3 * (5 + 5)


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({}, 100, r"`model.image_size` must be a multiple of 32 for yolov5_resnet, got 100"),
        ({"backbone": "resnet19"}, SIZE, r"`model.options.backbone` must be a ResNet of timm.*'resnet19'"),
        ({"backbone": "vit_tiny_patch16_224"}, SIZE, r"must be a ResNet of timm"),
        ({"activation": "tanh"}, SIZE, r"`model.options.activation` must be one of silu, relu, got 'tanh'"),
        ({"anchors": [[1, 2]]}, SIZE, r"`model.options.anchors` are 9 pairs"),
        ({"anchors": [[0, 2]] * 9}, SIZE, r"`model.options.anchors` are 9 pairs"),
        ({"anchors": 3}, SIZE, r"`model.options`.*do not fit family 'yolov5_resnet'"),
        ({"depht": 2}, SIZE, r"`model.options`.*do not fit family.*depht"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], size: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_model(Architecture("detect", "yolov5_resnet", ("a",), size, {**OPTIONS, **options}))
