"""One image file to upright RGB, whatever it holds. Needs PIL and numpy only."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fettle.errors import DataError

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)
ORIENTATION = ExifTags.Base.Orientation
MIN_SIDE = 8
MAX_PIXELS = 100_000_000


class UnreadableImageError(DataError):
    """An image file that cannot be used; the message is the reason without the file's name."""


@dataclass(frozen=True)
class Photo:
    """A decoded image.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright.
        notes: What had to be decided, such as ``first of 3 frames``.
        orientation: Of the stored image, in the numbers of EXIF; 1 is upright.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    orientation: int = 1


def decode(source: Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode an image file.

    Orientation in EXIF is applied. Grey is repeated in three channels; 16-bit values are divided by 257, whatever
    the brightest is; CMYK and palettes are converted; transparency is laid over white, as viewers do; of an
    animation the first frame is taken.

    Args:
        source: File, or an open binary stream.
        max_pixels: Images with more are refused on sight of their header, before memory is spent on them.

    Raises:
        UnreadableImageError: With the reason.
    """
    try:
        with Image.open(source) as image:
            _check_size(image, max_pixels)
            frames, orientation = getattr(image, "n_frames", 1), orientation_of(image)
            rgb = _to_rgb(ImageOps.exif_transpose(image))
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError("is not an image (wrong magic bytes)") from None
    except Image.DecompressionBombError:
        raise UnreadableImageError(f"has more than {max_pixels} pixels") from None
    except Exception as error:  # on corrupt data a decoder may raise anything: TypeError, struct.error, KeyError
        raise UnreadableImageError(f"cannot be decoded: {error}") from None
    return Photo(np.asarray(rgb), (f"first of {frames} frames",) if frames > 1 else (), orientation)


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1, upright, where there is none or another value."""
    value: object = image.getexif().get(ORIENTATION)
    return value if isinstance(value, int) and value in range(1, 9) else 1


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableImageError(f"has {width}x{height} pixels, more than {max_pixels}")
    if min(width, height) < MIN_SIDE:
        raise UnreadableImageError(f"has {width}x{height} pixels, a side is below {MIN_SIDE}")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnreadableImageError("has float pixels, whose range is not known")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray(np.clip(values // 257, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
