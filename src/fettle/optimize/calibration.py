"""The images that quantizers look at, a few at a time."""

from collections.abc import Iterator

import numpy as np

from fettle.data import Dataset
from fettle.errors import DataError


def calibration_images(dataset: Dataset, count: int) -> np.ndarray:
    """Return at most ``count`` images, (N, S, S, 3) uint8, spread evenly over the ``calib`` split.

    Without that split training images are taken; never those of ``val`` or ``test``.

    Raises:
        DataError: If there is none.
    """
    images = dataset.subset("calib").images
    if len(images) == 0:
        images = dataset.subset("train").images
    if len(images) == 0:
        raise DataError("Quantization needs images to calibrate on: both the calib and the train split are empty.")
    rows = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return np.ascontiguousarray(images[rows])


def batches(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield (<= size, S, S, 3) slices of ``images``."""
    return (images[start : start + size] for start in range(0, len(images), size))
