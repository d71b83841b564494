"""Families: the two of Fettle, any of timm, and what is refused."""

import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from fettle.errors import SpecError
from fettle.models import families, registry
from fettle.models.architecture import Architecture
from fettle.models.cbam import CBAM
from fettle.models.registry import build_model, family_names


def architecture(family: str, *, classes: int = 3, size: int = 32, **options: object) -> Architecture:
    return Architecture("classify", family, tuple(map(str, range(classes))), size, options)


def logits(model: nn.Module, size: int = 32) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(torch.zeros(2, 3, size, size))


def test_resnet50_has_the_defect_head() -> None:
    model = build_model(architecture("resnet50"))
    assert [type(layer).__name__ for layer in model.fc] == [
        "Dropout", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip
    assert [layer.p for layer in model.fc if isinstance(layer, nn.Dropout)] == [0.5, 0.3, 0.2]
    assert [layer.out_features for layer in model.fc if isinstance(layer, nn.Linear)] == [512, 256, 3]
    assert logits(model).shape == (2, 3)


def test_efficientnet_has_cbam_after_its_last_two_stages() -> None:
    model = build_model(architecture("efficientnet_b3"))
    assert [isinstance(stage[-1], CBAM) for stage in model.blocks] == [False] * 5 + [True] * 2
    assert model.classifier.in_features == 1536
    assert logits(model).shape == (2, 3)


def test_cbam_can_be_left_out_and_drop_rates_set() -> None:
    model = build_model(architecture("efficientnet_b3", cbam=False, drop_rate=0.1))
    assert not any(isinstance(module, CBAM) for module in model.modules())
    assert model.drop_rate == 0.1


def test_any_timm_name_works_and_image_size_reaches_vit() -> None:
    assert logits(build_model(architecture("test_resnet", classes=5))).shape == (2, 5)
    assert logits(build_model(architecture("test_vit", size=64)), 64).shape == (2, 3)


def test_stem_stride_leaves_more_positions_to_small_images() -> None:
    usual, fine = (build_model(architecture("resnet18", **o)).eval() for o in ({}, {"stem_stride": 1}))
    x = torch.zeros(1, 3, 64, 64)
    assert usual.forward_features(x).shape[-1] * 2 == fine.forward_features(x).shape[-1] == 4


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("resnet81", {}, "`model.family` 'resnet81' is not known.*did you mean resnet18"),
        ("hf-hub:someone/model", {}, "is not known"),
        ("resnet18", {"depth": 3}, "`model.options` {'depth': 3}.*unexpected keyword argument"),
        ("resnet50", {"head": "deep"}, "`model.options.head` must be one of defect, linear, got 'deep'"),
        ("test_vit", {"stem_stride": 1}, "`model.options.stem_stride` 1 does not fit"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(family: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_model(architecture(family, **options))


def test_the_seed_decides_the_weights() -> None:
    def first() -> torch.Tensor:
        torch.manual_seed(3)
        return next(build_model(architecture("test_resnet")).parameters())

    assert torch.equal(first(), first())


def test_a_family_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
        from torch import nn
        from fettle.models.registry import register

        @register("tinynet", task="classify")
        def tinynet(classes, *, image_size, pretrained, width=4):
            layers = nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)
            return nn.Sequential(*layers)
    """
    (tmp_path / "tinynet.py").write_text(textwrap.dedent(code))
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "_FAMILIES", dict(registry._FAMILIES))
    registry._discovered.cache_clear()
    assert "tinynet" in family_names("classify")
    assert logits(build_model(architecture("tinynet", width=8))).shape == (2, 3)
    registry._discovered.cache_clear()
    sys.modules.pop("fettle.models.families.tinynet")
