"""``yolov5_resnet``: YOLOv5 on the features of any ResNet of timm, with anchors that fit the training boxes.

For ``classify`` it votes by its best boxes.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from fettle.data.dataset import Subset
from fettle.errors import SpecError
from fettle.models.registry import register
from fettle.models.voter import BestBox
from fettle.models.yolov5.anchors import COUNT, Anchors, default_anchors, fit_anchors
from fettle.models.yolov5.blocks import ACTIVATIONS
from fettle.models.yolov5.decoding import STRIDES


def anchors_of(train: Subset, image_size: int) -> Mapping[str, Any]:
    """Return the option that the training data decides, where the spec does not."""
    return {"anchors": fit_anchors(train.boxes.xyxy[:, 2:] - train.boxes.xyxy[:, :2], image_size=image_size)}


@register("yolov5_resnet", task="detect", measure=anchors_of)
def yolov5_resnet(
    classes: int,
    *,
    image_size: int,
    pretrained: bool,
    backbone: str = "resnet18",
    anchors: Anchors | None = None,
    width: int = 128,
    depth: int = 1,
    activation: str = "silu",
) -> nn.Module:
    """Build a detector; see :class:`fettle.models.yolov5.network.YOLOv5ResNet`.

    Args:
        classes: Number of classes.
        image_size: Height and width in pixels, a multiple of 32.
        pretrained: Download ImageNet weights for the backbone.
        backbone: A ResNet of timm: ``resnet10t``, ``resnet18``, ``resnet50`` ...
        anchors: Nine ``[width, height]`` in pixels, fine scales first; by default fitted to the training boxes.
        width: Channels of the neck.
        depth: Bottlenecks a block of the neck.
        activation: ``silu`` or ``relu``, in the neck.
    """
    from fettle.models.yolov5.network import YOLOv5ResNet  # imports timm: seconds

    if image_size % STRIDES[-1]:
        raise SpecError(f"`model.image_size` must be a multiple of {STRIDES[-1]} for yolov5_resnet, got {image_size}.")
    if activation not in ACTIVATIONS:
        raise SpecError(f"`model.options.activation` must be one of {', '.join(ACTIVATIONS)}, got {activation!r}.")
    return YOLOv5ResNet(
        classes,
        image_size=image_size,
        anchors=_checked(anchors) if anchors is not None else default_anchors(image_size),
        backbone=_checked_backbone(backbone),
        pretrained=pretrained,
        width=width,
        depth=depth,
        activation=activation,
    )


@register("yolov5_resnet", task="classify")
def voter(classes: int, **options: Any) -> nn.Module:
    """Build a detector that is trained on boxes around whole pictures; see :class:`fettle.models.voter.BestBox`."""
    return BestBox(yolov5_resnet(classes, **options))


def _checked(anchors: Anchors) -> Anchors:
    if len(anchors) != COUNT or any(len(anchor) != 2 or min(anchor) <= 0 for anchor in anchors):
        raise SpecError(f"`model.options.anchors` are {COUNT} pairs [width, height] in pixels, got {anchors}.")
    return anchors


def _checked_backbone(name: str) -> str:
    import timm

    if "resnet" not in name or not timm.is_model(name):
        raise SpecError(f"`model.options.backbone` must be a ResNet of timm such as resnet18, got {name!r}.")
    return name
