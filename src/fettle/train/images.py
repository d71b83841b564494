"""Labelled images, batch by batch."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset as TorchDataset

from fettle.data.dataset import Subset

Keys = tuple[NDArray[np.int64], NDArray[np.uint32]]  # rows of the subset, and a seed for each
Batch = tuple[torch.Tensor, torch.Tensor]  # (N, S, S, 3) uint8, and the task's targets
Augment = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]


class Images(TorchDataset[Batch]):
    """A subset that is indexed by whole batches: no collation, one copy. The targets are labels, (N,) int64."""

    def __init__(self, subset: Subset, augment: Augment | None = None) -> None:
        self.subset, self.augment = subset, augment

    @property
    def augments(self) -> bool:
        return self.augment is not None

    def __getitem__(self, keys: Keys) -> Batch:
        rows, seeds = keys
        images = self.subset.images[rows]
        if self.augment is not None:
            images = np.stack([self.augment(image, int(seed)) for image, seed in zip(images, seeds, strict=True)])
        return torch.from_numpy(images), torch.from_numpy(self.subset.labels[rows])


def image_weights(
    labels: NDArray[np.int64], class_weights: NDArray[np.float64], exponent: float
) -> NDArray[np.float64] | None:
    """Return each image's chance to be drawn, (N,), or ``None`` where every image is drawn once."""
    weights = class_weights[labels] ** exponent
    return None if np.allclose(weights, weights[0]) else weights
