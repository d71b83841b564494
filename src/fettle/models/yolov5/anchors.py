"""Anchors: the sizes of boxes that a detector starts from, fitted to the training boxes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCALES, PER_SCALE = 3, 3
COUNT = SCALES * PER_SCALE
# YOLOv5's, of COCO at 640 px.
COCO = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
COCO_SIZE = 640
ITERATIONS = 50

Anchors = Sequence[Sequence[float]]


def default_anchors(image_size: int) -> list[list[float]]:
    """Return COCO's anchors at another image size, for data without enough boxes to fit any."""
    return [[round(side * image_size / COCO_SIZE, 1) for side in anchor] for anchor in COCO]


def fit_anchors(sizes: NDArray[np.floating[Any]], *, image_size: int, seed: int = 0) -> list[list[float]]:
    """Cluster box sizes by k-means with the distance 1 - IoU (Redmon and Farhadi 2016, arXiv:1612.08242).

    Args:
        sizes: (M, 2) width and height of the training boxes in pixels.
        image_size: Height and width of the images in pixels.
        seed: Of the first centres (k-means++, Arthur and Vassilvitskii 2007).

    Returns:
        Nine ``[width, height]`` in pixels, the smallest area first: three for each scale. :func:`default_anchors`
        where there are fewer than nine different sizes.
    """
    if len(np.unique(sizes, axis=0)) < COUNT:
        return default_anchors(image_size)
    boxes: NDArray[np.float64] = sizes.astype(np.float64)
    centres = _first_centres(boxes, np.random.default_rng(seed))
    for _ in range(ITERATIONS):
        nearest = shape_iou(boxes, centres).argmax(1)
        for each in np.unique(nearest):  # a centre that lost all its boxes stays
            centres[each] = np.median(boxes[nearest == each], axis=0)
    return [[round(float(side), 1) for side in centre] for centre in sorted(centres, key=np.prod)]


def shape_iou(sizes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of boxes that share a corner: (M, 2) and (K, 2) to (M, K)."""
    common = np.minimum(sizes[:, None], others[None]).prod(2)
    return np.asarray(common / (sizes.prod(1)[:, None] + others.prod(1)[None] - common))


def _first_centres(sizes: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw boxes, the likelier the farther they are from those drawn before."""
    centres: NDArray[np.float64] = sizes[generator.integers(len(sizes))][None]
    while len(centres) < COUNT:
        distance = (1 - shape_iou(sizes, centres).max(1)) ** 2
        centres = np.vstack([centres, sizes[generator.choice(len(sizes), p=distance / distance.sum())]])
    return centres
