"""``model``: the network to train."""

from typing import Any

from pydantic import Field

from fettle.spec.base import Section


class ModelConfig(Section):
    """A model family and its input."""

    family: str = "resnet18"
    """A family of Fettle (``resnet50``, ``efficientnet_b3``; detectors ``yolov8``, ``yolov5_resnet``; embeddings
    ``arcface``) or, for classifiers, any name that timm knows."""
    image_size: int = Field(112, ge=16, le=2048)
    """Height and width of the input in pixels."""
    weights: str = "none"
    """``none`` (from scratch), ``imagenet`` (timm downloads them, only when written here), for ``yolov8`` ``coco``
    (Ultralytics downloads them), or the path of a ``.safetensors`` file or model artifact."""
    options: dict[str, Any] = {}
    """Keyword arguments of the family, such as ``{cbam: true}``."""
