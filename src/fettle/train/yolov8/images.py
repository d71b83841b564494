"""Ultralytics' data set class over ours: no file is read, decoded or written a second time.

What an image becomes depends on the seed of its place in the epoch alone, so the same images come whatever the number
of workers, and after any interruption.
"""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from typing_extensions import override
from ultralytics.data.augment import Compose, CopyPaste
from ultralytics.data.dataset import YOLODataset
from ultralytics.utils import IterableSimpleNamespace

from fettle.data.dataset import Subset
from fettle.train.batches import BatchSampler, single_thread
from fettle.train.images import Keys
from fettle.train.yolov8.copy_paste import BoxCopyPaste

Batch = dict[str, Any]


class Images(YOLODataset):  # type: ignore[misc]
    """The images and boxes of a split, indexed by whole batches.

    Args:
        subset: Images and boxes.
        hyp: Ultralytics' arguments, with the augmentation.
        augment: Whether to augment.
        classes: Names of the classes.
    """

    def __init__(
        self, subset: Subset, hyp: IterableSimpleNamespace, *, augment: bool, classes: tuple[str, ...]
    ) -> None:
        self.subset = subset
        names = dict(enumerate(classes))
        # "ram" lets mosaics draw from all images, and not from those that this worker has seen lately.
        super().__init__(
            "", data={"names": names}, imgsz=hyp.imgsz, hyp=hyp, augment=augment, cache="ram", batch_size=hyp.batch
        )

    @override
    def get_img_files(self, img_path: str) -> list[str]:
        return [f"{index}-{path}" for index, path in enumerate(self.subset.paths)]

    @override
    def get_labels(self) -> list[dict[str, Any]]:
        """Return the labels, boxes as centre, width and height in shares of the side."""
        return [self._label(index) for index in range(len(self.subset))]

    @override
    def check_cache_ram(self, safety_margin: float = 1.0) -> bool:
        return False  # the images are mapped into memory

    @override
    def load_image(self, i: int, rect_mode: bool = True, resize_short: bool = False) -> tuple[Any, Any, Any]:
        """Return the image in OpenCV's order BGR, which the last transform turns, and its size twice."""
        image = np.ascontiguousarray(self.subset.images[i][..., ::-1])
        return image, image.shape[:2], image.shape[:2]

    @override
    def build_transforms(self, hyp: IterableSimpleNamespace) -> Compose:
        transforms = super().build_transforms(hyp)
        if self.augment:
            before = transforms.transforms[0].transforms
            before[:] = [BoxCopyPaste(t.p) if isinstance(t, CopyPaste) else t for t in before]
        return transforms

    @override
    def __getitem__(self, keys: Keys) -> Batch:
        return self.collate_fn([self._seeded(int(row), int(seed)) for row, seed in zip(*keys, strict=True)])  # type: ignore[no-any-return]

    def _seeded(self, row: int, seed: int) -> dict[str, Any]:
        random.seed(seed)
        np.random.seed(seed)
        # Albumentations are seeded from it; torch.manual_seed would note a stack trace for CUDA each time, 5 ms.
        torch.default_generator.manual_seed(seed)
        return super().__getitem__(row)  # type: ignore[no-any-return]

    def _label(self, index: int) -> dict[str, Any]:
        xyxy, labels = self.subset.boxes.of(index)
        size = self.subset.images.shape[1]
        return {
            "im_file": self.im_files[index],
            "shape": (size, size),
            "cls": labels[:, None].astype(np.float32),
            "bboxes": np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], 1) / size,
            "segments": [],
            "keypoints": None,
            "normalized": True,
            "bbox_format": "xywh",
        }


class Loader:
    """What Ultralytics' trainer asks of a loader, over PyTorch's.

    Args:
        images: The split.
        sampler: The batches of an epoch; its ``epoch`` is set by the trainer.
        batch_size: Largest batch.
        workers: Processes that augment.
    """

    drop_last = True  # no batch is left with a single image: the sampler sees to that

    def __init__(self, images: Images, sampler: Any, *, batch_size: int, workers: int) -> None:
        self.dataset, self.sampler, self.batch_size, self.num_workers = images, sampler, batch_size, workers

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        yield from DataLoader(
            self.dataset,
            batch_size=None,
            sampler=self.sampler,
            num_workers=self.num_workers,
            prefetch_factor=4 if self.num_workers else None,
            worker_init_fn=single_thread,
            pin_memory=torch.cuda.is_available(),
        )

    def reset(self) -> None:
        """Nothing is kept from one epoch to the next."""

    def close(self) -> None:
        """Nothing is kept from one epoch to the next."""


def train_loader(images: Images, *, batch_size: int, seed: int, workers: int) -> Loader:
    sampler = BatchSampler(len(images), batch_size, seed=seed)
    return Loader(images, sampler, batch_size=batch_size, workers=workers)


def val_loader(images: Images, *, batch_size: int) -> Loader:
    rows = np.array_split(np.arange(len(images)), -(-len(images) // batch_size))
    return Loader(images, [(part, _no_seeds(part)) for part in rows], batch_size=batch_size, workers=0)


def _no_seeds(rows: NDArray[np.int64]) -> NDArray[np.uint32]:
    return np.zeros(len(rows), np.uint32)
