"""What every writer takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Annotated:
    """An image and its boxes.

    Attributes:
        name: File name, unique within the split whatever its suffix.
        split: Split that it belongs to.
        width: In pixels, upright.
        height: In pixels, upright.
        xyxy: (M, 4) float64 in pixels, right and bottom excluded.
        labels: (M,) int64.
    """

    name: str
    split: str
    width: int
    height: int
    xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0]


def by_split(images: Sequence[Annotated]) -> Iterable[tuple[str, list[Annotated]]]:
    """Give the images of each split."""
    for split, of_split in groupby(sorted(images, key=lambda image: image.split), key=lambda image: image.split):
        yield split, list(of_split)
