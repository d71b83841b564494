"""Make an image square: the only preprocessing that is the client's duty. Needs PIL and numpy only."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# PIL widens the filter with the scale, so that shrinking does not alias.
FILTER = Image.Resampling.BILINEAR

MODES: Mapping[str, Callable[[Image.Image, tuple[int, int]], Image.Image]] = {
    "squash": lambda image, size: image.resize(size, FILTER),
    "crop": lambda image, size: ImageOps.fit(image, size, FILTER),
    "pad": lambda image, size: ImageOps.pad(image, size, FILTER, color=(0, 0, 0)),
}


def resize(image: NDArray[np.uint8], size: int, mode: str = "squash") -> NDArray[np.uint8]:
    """Resize ``image`` to a square.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: Height and width of the result in pixels.
        mode: ``squash`` keeps all content, ``crop`` cuts the long sides, ``pad`` fills the short ones with black.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(MODES[mode](Image.fromarray(image), (size, size)))
