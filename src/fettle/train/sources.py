"""Where a task's batches come from; a new task is one entry of :data:`SOURCES`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fettle.data.dataset import Dataset, Subset
from fettle.spec.train import TrainConfig
from fettle.train.images import Images, image_weights
from fettle.train.scenes import Scenes


@dataclass(frozen=True)
class Source:
    """The batches of a task.

    Attributes:
        plain: A subset as it is.
        augmented: A subset to train on.
        chances: (N,) chance of each training image to be drawn; ``None`` draws each once an epoch.
    """

    plain: Callable[[Subset], Images | Scenes]
    augmented: Callable[[Subset, TrainConfig], Images | Scenes]
    chances: Callable[[Dataset, TrainConfig], NDArray[np.float64] | None]


def _images(subset: Subset, config: TrainConfig) -> Images:
    from fettle.data.augment import augmenter  # imports albumentations: seconds

    return Images(subset, augmenter(config.augment) if config.augment else None)


def _scenes(subset: Subset, config: TrainConfig) -> Scenes:
    from fettle.data.augment import scene_augmenter

    augment = scene_augmenter(config.augment) if config.augment else None
    return Scenes(subset, augment, mosaic=config.mosaic, mixup=config.mixup)


def _chances(dataset: Dataset, config: TrainConfig) -> NDArray[np.float64] | None:
    return image_weights(dataset.subset("train").labels, dataset.class_weights, config.balance.sampling)


SOURCES: Mapping[str, Source] = {
    "classify": Source(Images, _images, _chances),
    "detect": Source(Scenes, _scenes, lambda _dataset, _config: None),
    "embed": Source(Images, _images, lambda _dataset, _config: None),
}
