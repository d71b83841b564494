"""Statistics of a data set: what it looks like, and what a model needs to know of it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fettle.data.cache import Decoded

PERCENTILES = (0, 5, 50, 95, 100)


def describe(images: Sequence[Decoded]) -> dict[str, Any]:
    """Return the spread of the originals' width, height, aspect and brightness, and what the decoder noted."""
    by_class = defaultdict(list)
    for image in images:
        for label in set(image.labels):
            by_class[label].append(image.brightness)
    return {
        "width": spread([image.width for image in images]),
        "height": spread([image.height for image in images]),
        "aspect": spread([image.width / image.height for image in images]),
        "brightness": spread([image.brightness for image in images]),
        "brightness_by_class": {label: spread(values) for label, values in sorted(by_class.items())},
        "notes": dict(Counter(note for image in images for note in image.notes)),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean, standard deviation and percentiles."""
    column = np.asarray(values, dtype=np.float64)
    percentiles = {
        f"p{rank}": value for rank, value in zip(PERCENTILES, np.percentile(column, PERCENTILES), strict=True)
    }
    return {
        name: round(float(value), 4)
        for name, value in {"mean": column.mean(), "std": column.std(), **percentiles}.items()
    }


def channel_moments(images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel of (N, S, S, 3) images, in [0, 1].

    They are those of the exact histogram, which is counted image by image: memory does not grow with the data.
    """
    histogram = np.zeros((3, 256), np.int64)
    for image in images:
        for channel in range(3):
            histogram[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
    share = histogram / histogram.sum(axis=1, keepdims=True)
    level = np.arange(256) / 255
    mean = share @ level
    std = np.sqrt(np.maximum(share @ level**2 - mean**2, 0))
    return mean.round(5).tolist(), std.round(5).tolist()
