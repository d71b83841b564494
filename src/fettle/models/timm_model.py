"""Any network of timm (Wightman 2019) as a family, and what Fettle's own families share."""

from collections.abc import Callable
from typing import Any

import timm
from torch import nn

from fettle.errors import SpecError


def find(name: str) -> Callable[..., nn.Module] | None:
    """Return a builder of the timm network ``name``, or ``None`` where timm does not know it."""
    if not timm.is_model(name):
        return None

    def build(classes: int, *, image_size: int, pretrained: bool, **options: Any) -> nn.Module:
        return build_timm(name, classes, image_size=image_size, pretrained=pretrained, **options)

    return build


def names() -> list[str]:
    return list(timm.list_models())


def build_timm(
    name: str, classes: int, *, image_size: int, pretrained: bool, stem_stride: int | None = None, **options: Any
) -> nn.Module:
    """Build a timm network.

    Args:
        name: Name that timm knows.
        classes: Outputs of the classifier.
        image_size: Passed on to networks that are made for one size, such as ViT.
        pretrained: Download ImageNet weights.
        stem_stride: Stride of the first convolution. Most networks are made for 224 px and reduce the image 32 times;
            at 64 px and below, ``stem_stride: 1`` leaves four times as many positions to every layer, at four times
            the cost. ``output_stride: 16`` (ResNets, EfficientNets) does so for the last stage only.
        **options: Passed to ``timm.create_model``, such as ``drop_rate`` and ``drop_path_rate``.
    """
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        options.setdefault("img_size", image_size)
    model: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=classes, **options)
    if stem_stride is not None:
        _set_stem_stride(model, stem_stride)
    return model


def _set_stem_stride(model: nn.Module, stride: int) -> None:
    stem = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if stem is None or stem.kernel_size == stem.stride or stride < 1:
        raise SpecError(f"`model.options.stem_stride` {stride} does not fit: the first layer is {stem}.")
    stem.stride = (stride, stride)
