"""``yolov8``: Ultralytics' detector, of sizes n, s and m; for ``classify`` it votes by its best boxes."""

from typing import Any

from torch import nn

from fettle.models.registry import register
from fettle.models.voter import BestBox


@register("yolov8", task="detect", weights="coco", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
def yolov8(classes: int, *, image_size: int, pretrained: bool, size: str = "n", split_c2f: bool = False) -> nn.Module:
    """Build a YOLOv8 (Jocher et al. 2023, https://docs.ultralytics.com/models/yolov8).

    Args:
        classes: Number of classes.
        image_size: Height and width in pixels, a multiple of 32.
        pretrained: Download what Ultralytics trained on COCO. The class branch starts from scratch where its shape
            depends on the number of classes.
        size: ``n``, ``s`` or ``m``.
        split_c2f: Write the first convolution of every C2f block as two, as pruning needs it; the function is the same.

    Raises:
        SpecError: If an option does not fit, or Ultralytics is not installed.
    """
    from fettle.models.yolov8.network import build

    return build(classes, image_size=image_size, pretrained=pretrained, size=size, split_c2f=split_c2f)


@register("yolov8", task="classify", weights="coco", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
def voter(classes: int, **options: Any) -> nn.Module:
    """Build a YOLOv8 that is trained on boxes around whole pictures; see :class:`fettle.models.voter.BestBox`."""
    return BestBox(yolov8(classes, **options))
