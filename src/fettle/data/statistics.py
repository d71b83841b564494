"""Statistics of a data set: what it looks like, and what a model needs to know of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fettle.data.cache import Decoded

ROWS_AT_ONCE = 256
PERCENTILES = (0, 5, 50, 95, 100)


def describe(images: Sequence[Decoded]) -> dict[str, Any]:
    """Return distributions of the originals' width, height, aspect and brightness, overall and a class."""
    columns: dict[str, list[float]] = {
        "width": [image.width for image in images],
        "height": [image.height for image in images],
        "aspect": [image.width / image.height for image in images],
        "brightness": [image.brightness for image in images],
    }
    labels = sorted({image.item.label for image in images})
    return {
        **{name: spread(values) for name, values in columns.items()},
        "brightness_by_class": {
            label: spread([image.brightness for image in images if image.item.label == label]) for label in labels
        },
        "notes": dict(Counter(note for image in images for note in image.notes)),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean, standard deviation and percentiles."""
    column = np.asarray(values, dtype=np.float64)
    percentiles = np.percentile(column, PERCENTILES)
    named = {f"p{percent}": float(value) for percent, value in zip(PERCENTILES, percentiles, strict=True)}
    rounded = {"mean": float(column.mean()), "std": float(column.std()), **named}
    return {name: round(value, 4) for name, value in rounded.items()}


def channel_moments(images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel of (N, S, S, 3) images, in [0, 1]; a part at a time."""
    total, squares = np.zeros(3), np.zeros(3)
    for part in _parts(images):
        total += part.sum((0, 1, 2))
        squares += np.square(part).sum((0, 1, 2))
    count = images[..., 0].size
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean.round(5).tolist(), std.round(5).tolist()


def _parts(images: NDArray[np.uint8]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(images), ROWS_AT_ONCE):
        yield images[start : start + ROWS_AT_ONCE] / 255.0
