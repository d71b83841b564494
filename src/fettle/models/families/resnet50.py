"""``resnet50`` with a deep, strongly regularized head for small sets of defect images."""

from collections.abc import Callable
from typing import Any

from torch import nn

from fettle.errors import SpecError
from fettle.models.registry import register
from fettle.models.timm_model import build_timm


@register("resnet50", task="classify")
def resnet50(classes: int, *, image_size: int, pretrained: bool, head: str = "defect", **options: Any) -> nn.Module:
    """Build a ResNet-50 (He et al. 2016).

    Args:
        classes: Outputs of the classifier.
        image_size: Height and width in pixels.
        pretrained: Download ImageNet weights for all but the head.
        head: ``defect`` for :func:`defect_head`, ``linear`` for one linear layer.
        **options: See :func:`fettle.models.timm_model.build_timm`.
    """
    model = build_timm("resnet50", classes, image_size=image_size, pretrained=pretrained, **options)
    if head not in HEADS:
        raise SpecError(f"`model.options.head` must be one of {', '.join(HEADS)}, got {head!r}.")
    model.fc = HEADS[head](model.num_features, classes)
    return model


def defect_head(features: int, classes: int) -> nn.Sequential:
    """Return the head: pooled features (N, features) to logits (N, classes)."""
    return nn.Sequential(
        nn.Dropout(0.5), nn.Linear(features, 512), nn.BatchNorm1d(512), nn.ReLU(),
        nn.Dropout(0.3), nn.Linear(512, 256), nn.BatchNorm1d(256), nn.ReLU(),
        nn.Dropout(0.2), nn.Linear(256, classes),
    )  # fmt: skip


HEADS: dict[str, Callable[[Any, int], nn.Module]] = {"defect": defect_head, "linear": nn.Linear}
