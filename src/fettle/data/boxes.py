"""The boxes of many images in one table; needs numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

FILE = "boxes.npz"


@dataclass(frozen=True)
class Boxes:
    """Boxes image after image.

    Attributes:
        xyxy: (M, 4) float32 left, top, right, bottom in pixels of the stored square, right and bottom excluded.
        labels: (M,) int64 index of the class.
        starts: (N + 1,) int64; image i has the rows ``starts[i]:starts[i + 1]``.
        areas: (M,) float32 in pixels of the original photograph, which decide small, medium and large.
    """

    xyxy: NDArray[np.float32]
    labels: NDArray[np.int64]
    starts: NDArray[np.int64]
    areas: NDArray[np.float32]

    @classmethod
    def none(cls, images: int) -> Self:
        """Return the table of ``images`` images without any box."""
        return cls(
            np.empty((0, 4), np.float32), np.empty(0, np.int64), np.zeros(images + 1, np.int64), np.empty(0, np.float32)
        )

    @classmethod
    def join(cls, parts: Sequence["Boxes"]) -> Self:
        """Return the boxes of all images of ``parts``, one part after the other."""
        counts = [part.counts for part in parts]
        return cls(
            np.concatenate([part.xyxy for part in parts]),
            np.concatenate([part.labels for part in parts]),
            starts_of(np.concatenate(counts)),
            np.concatenate([part.areas for part in parts]),
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.starts) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """(N,) boxes an image."""
        return np.diff(self.starts)

    def of(self, image: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return ``xyxy`` and ``labels`` of one image."""
        rows = slice(self.starts[image], self.starts[image + 1])
        return self.xyxy[rows], self.labels[rows]

    def take(self, images: NDArray[np.int64] | slice) -> Self:
        """Return the boxes of those images, in that order; a slice, an index or a mask, as numpy takes them."""
        begins, counts = self.starts[:-1][images], self.counts[images]
        starts = starts_of(counts)
        rows = np.repeat(begins - starts[:-1], counts) + np.arange(starts[-1])
        return type(self)(self.xyxy[rows], self.labels[rows], starts, self.areas[rows])

    def save(self, folder: Path) -> None:
        """Write ``boxes.npz``; the same boxes give the same bytes."""
        np.savez(folder / FILE, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, folder: Path, *, images: int) -> Self:
        """Read ``boxes.npz``; a folder without one has none.

        Raises:
            ValueError: If it is not the table of ``images`` images.
        """
        if not (folder / FILE).is_file():
            return cls.none(images)
        with np.load(folder / FILE, allow_pickle=False) as stored:
            boxes = cls(**{field.name: stored[field.name] for field in fields(cls)})
        if len(boxes) != images or not boxes.starts[-1] == len(boxes.xyxy) == len(boxes.labels) == len(boxes.areas):
            raise ValueError(f"{FILE} has boxes of {len(boxes)} images, there are {images}")
        return boxes


def starts_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each image's rows begin, and the end: (N + 1,) int64."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
