"""Make an image square: the only preprocessing that is the client's duty. Needs PIL and numpy only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# PIL widens the filter with the scale, so that shrinking does not alias.
FILTER = Image.Resampling.BILINEAR

Extent = tuple[float, float, float, float]


@dataclass(frozen=True)
class Placement:
    """Where a photograph lies in the square that is made of it.

    Attributes:
        photo: Width and height of the photograph in pixels.
        size: Side of the square in pixels.
        extent: Left, top, right and bottom of the whole photograph in pixels of the square; beyond it where it is cut.
    """

    photo: tuple[int, int]
    size: int
    extent: Extent

    @classmethod
    def of(cls, width: int, height: int, size: int, mode: str = "squash") -> Self:
        """Place a photograph of ``width`` x ``height`` pixels as :func:`resize` does in ``mode``."""
        return cls((width, height), size, MODES[mode](width, height, size))

    @property
    def scale(self) -> NDArray[np.float64]:
        """(2,) pixels of the square to one of the photograph, in x and y."""
        left, top, right, bottom = self.extent
        return np.array([right - left, bottom - top]) / self.photo

    def to_square(self, xyxy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map (M, 4) boxes in pixels of the photograph to pixels of the square."""
        return (np.asarray(xyxy, np.float64) * np.tile(self.scale, 2) + self._corner).astype(np.float32)

    def to_photo(self, xyxy: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map (M, 4) boxes in pixels of the square to pixels of the photograph, clipped to it."""
        return self._to_photo(xyxy).astype(np.float32)

    @property
    def visible(self) -> tuple[Extent, Extent]:
        """The part of the photograph that is in the square, in pixels of the photograph and of the square."""
        inside = np.clip(self.extent, 0, self.size)
        source, target = self._to_photo(inside).tolist(), inside.tolist()
        return tuple(source), tuple(target)

    def _to_photo(self, xyxy: NDArray[np.floating] | Extent) -> NDArray[np.float64]:
        found = (np.asarray(xyxy, np.float64) - self._corner) / np.tile(self.scale, 2)
        return np.clip(found, 0, np.tile(self.photo, 2))

    @property
    def _corner(self) -> NDArray[np.float64]:
        return np.tile(self.extent[:2], 2)


def _squash(width: int, height: int, size: int) -> Extent:
    del width, height
    return 0, 0, size, size


def _crop(width: int, height: int, size: int) -> Extent:
    """The longer side overhangs equally at both ends."""
    side = min(width, height)
    x, y = (length * size / side for length in (width, height))
    return (size - x) / 2, (size - y) / 2, (size + x) / 2, (size + y) / 2


def _pad(width: int, height: int, size: int) -> Extent:
    """The longer side fills the square; whole pixels, so that the border is sharp."""
    side = max(width, height)
    x, y = (max(1, round(length * size / side)) for length in (width, height))
    left, top = round((size - x) / 2), round((size - y) / 2)
    return left, top, left + x, top + y


MODES: Mapping[str, Callable[[int, int, int], Extent]] = {"squash": _squash, "crop": _crop, "pad": _pad}


def resize(image: NDArray[np.uint8], size: int, mode: str = "squash") -> NDArray[np.uint8]:
    """Resize ``image`` to a square.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: Height and width of the result in pixels.
        mode: ``squash`` keeps all content, ``crop`` cuts the long sides, ``pad`` fills the short ones with black.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    source, (left, top, right, bottom) = Placement.of(width, height, size, mode).visible
    part = (round(right - left), round(bottom - top))
    content = Image.fromarray(image).resize(part, FILTER, box=source)
    if part == (size, size):
        return np.asarray(content)
    square = Image.new("RGB", (size, size))
    square.paste(content, (round(left), round(top)))
    return np.asarray(square)
