"""Statistics of boxes: how many, how large, of which shape, where."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fettle.data.boxes import Boxes
from fettle.data.statistics import spread

# Areas in pixels of the original below which COCO calls an object small, and medium; https://cocodataset.org
SIZES = {"small": 32**2, "medium": 96**2, "large": float("inf")}


def describe_boxes(boxes: Boxes, classes: Sequence[str], *, side: int) -> dict[str, Any]:
    """Return the spread of number, size, aspect and place of boxes, in all and by class.

    Width and height are shares of the square that the network sees, as are the centres; small, medium and large are
    meant in pixels of the originals, as COCO does.

    Args:
        boxes: In pixels of the square.
        classes: Names of the classes.
        side: Of the square in pixels.
    """
    owner = np.repeat(np.arange(len(boxes)), boxes.counts)
    by_class = {}
    for label, name in enumerate(classes):
        rows = boxes.labels == label
        images = {"images": len(np.unique(owner[rows]))}
        by_class[name] = {
            "boxes": int(rows.sum()),
            **images,
            **_spreads(boxes.xyxy[rows] / side),
            **_sizes(boxes, rows),
        }
    everything = np.ones(len(boxes.labels), bool)
    return {
        "per_image": spread(boxes.counts.tolist()),
        **_spreads(boxes.xyxy / side),
        **_sizes(boxes, everything),
        "by_class": by_class,
    }


def _spreads(xyxy: NDArray[np.floating]) -> dict[str, Any]:
    if not len(xyxy):
        return {}
    width, height = (xyxy[:, 2:] - xyxy[:, :2]).T
    x, y = ((xyxy[:, 2:] + xyxy[:, :2]) / 2).T
    columns = {"width": width, "height": height, "aspect": width / height, "x": x, "y": y}
    return {name: spread(column.tolist()) for name, column in columns.items()}


def _sizes(boxes: Boxes, rows: NDArray[np.bool_]) -> dict[str, Any]:
    counts = np.bincount(np.digitize(boxes.areas[rows], list(SIZES.values())[:-1]), minlength=len(SIZES))
    return {"sizes": dict(zip(SIZES, counts.tolist(), strict=True))}
