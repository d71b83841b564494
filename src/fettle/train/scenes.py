"""Images with boxes, batch by batch: augmented, put together of four, blended."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset as TorchDataset

from fettle.data.augment import MIN_SIDE, MIN_VISIBILITY, Scene
from fettle.data.dataset import Subset
from fettle.train.images import Batch, Keys

Augment = Callable[[Scene, int], Scene]
BLEND = 32.0  # YOLOv5's alpha of MixUp: both images stay visible


class Scenes(TorchDataset[Batch]):
    """A subset that is indexed by whole batches.

    The targets are (M, 6) float32: image of the batch, class, xyxy in pixels. What happens to an image depends on its
    seed alone.

    Args:
        subset: Images and boxes.
        augment: Transforms a scene.
        mosaic: Probability that a scene is made of four images.
        mixup: Probability that a scene is blended with another.
    """

    def __init__(
        self, subset: Subset, augment: Augment | None = None, *, mosaic: float = 0.0, mixup: float = 0.0
    ) -> None:
        self.subset, self.augment, self.mosaic, self.mixup = subset, augment, mosaic, mixup

    @property
    def augments(self) -> bool:
        return self.augment is not None or self.mosaic > 0 or self.mixup > 0

    def __getitem__(self, keys: Keys) -> Batch:
        scenes = [self._scene(int(row), int(seed)) for row, seed in zip(*keys, strict=True)]
        targets = [
            np.column_stack([np.full(len(scene.labels), index), scene.labels, scene.xyxy])
            for index, scene in enumerate(scenes)
        ]
        images = torch.from_numpy(np.stack([scene.image for scene in scenes]))
        return images, torch.from_numpy(np.concatenate(targets).astype(np.float32))

    def _scene(self, row: int, seed: int) -> Scene:
        generator = np.random.default_rng(seed)
        scene = self._augmented(row, generator)
        if generator.random() < self.mixup:
            other = self._augmented(int(generator.integers(len(self.subset))), generator)
            scene = blend(scene, other, share=generator.beta(BLEND, BLEND))
        return scene

    def _augmented(self, row: int, generator: np.random.Generator) -> Scene:
        scene = self._stored(row)
        if generator.random() < self.mosaic:
            others = generator.integers(len(self.subset), size=3)
            scene = make_mosaic([scene, *(self._stored(int(other)) for other in others)], generator)
        return self.augment(scene, int(generator.integers(2**32))) if self.augment is not None else scene

    def _stored(self, row: int) -> Scene:
        return Scene(self.subset.images[row], *self.subset.boxes.of(row))


def make_mosaic(scenes: Sequence[Scene], generator: np.random.Generator) -> Scene:
    """Lay four scenes out two by two, and show a window of one to two sides of it (Bochkovskiy et al. 2020)."""
    size = len(scenes[0].image)
    window = int(generator.integers(size, 2 * size, endpoint=True))
    left, top = generator.integers(2 * size - window, size=2, endpoint=True)
    rows = [np.hstack([scene.image for scene in scenes[begin : begin + 2]]) for begin in (0, 2)]
    shown = np.vstack(rows)[top : top + window, left : left + window]
    corners = [(0, 0), (size, 0), (0, size), (size, size)]
    xyxy = [scene.xyxy + np.tile(corner, 2) for scene, corner in zip(scenes, corners, strict=True)]
    moved = (np.concatenate(xyxy) - np.array([left, top, left, top])) * (size / window)
    labels = np.concatenate([scene.labels for scene in scenes])
    image = np.asarray(cv2.resize(shown, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    return _cut(Scene(image, moved, labels), size)


def blend(scene: Scene, other: Scene, *, share: float) -> Scene:
    """Average two images; what is on either is there (MixUp for boxes: Zhang et al. 2019, arXiv:1902.04103)."""
    image = cv2.addWeighted(scene.image, share, other.image, 1 - share, 0)
    return Scene(
        np.asarray(image, np.uint8),
        np.concatenate([scene.xyxy, other.xyxy]),
        np.concatenate([scene.labels, other.labels]),
    )


def _cut(scene: Scene, size: int) -> Scene:
    """Cut boxes at the edges; what is hardly there any more goes."""
    cut = scene.xyxy.clip(0, size)
    sides = cut[:, 2:] - cut[:, :2]
    keep = (sides >= MIN_SIDE).all(1) & (_area(cut) >= MIN_VISIBILITY * _area(scene.xyxy))
    return Scene(scene.image, cut[keep].astype(np.float32), scene.labels[keep])


def _area(xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((xyxy[:, 2:] - xyxy[:, :2]).prod(1))
