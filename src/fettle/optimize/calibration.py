"""The images that quantizers look at, a few at a time."""

from collections.abc import Iterator

import numpy as np

from fettle.data import Dataset, Subset
from fettle.errors import DataError


def calibration_subset(dataset: Dataset) -> Subset:
    """Return the ``calib`` split; without it that of ``train``, never ``val`` or ``test``.

    Raises:
        DataError: If there is none.
    """
    for split in ("calib", "train"):
        subset = dataset.subset(split)
        if len(subset.images):
            return subset
    raise DataError("Quantization needs images to calibrate on: both the calib and the train split are empty.")


def calibration_images(dataset: Dataset, count: int) -> np.ndarray:
    """Return at most ``count`` images, (N, S, S, 3) uint8, spread evenly over :func:`calibration_subset`.

    Raises:
        DataError: If there is none.
    """
    images = calibration_subset(dataset).images
    rows = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return np.ascontiguousarray(images[rows])


def batches(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield (<= size, S, S, 3) slices of ``images``."""
    return (images[start : start + size] for start in range(0, len(images), size))
