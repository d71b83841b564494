"""Decode every image once, in parallel, into an array on disk; keep what the checks need to know of each."""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fettle.data.decode import UnreadableImageError, decode
from fettle.data.listing import Broken, Item
from fettle.data.resize import resize
from fettle.hardware import passport
from fettle.spec import DatasetConfig


@dataclass(frozen=True)
class Decoded:
    """What is known of an image after it was decoded.

    Attributes:
        item: Where it came from.
        row: Its row in the scratch array.
        sha256: Digest of size and pixels of the upright original.
        hash: 64-bit perceptual hash of the resized image.
        width: Of the original, upright, in pixels.
        height: Of the original, upright, in pixels.
        brightness: Mean of the pixels in [0, 1].
        notes: What the decoder decided.
        orientation: Of the stored image, in the numbers of EXIF; 1 is upright.
        labels: Names of the classes of what is on it, one an object; known when the boxes are checked.
    """

    item: Item
    row: int
    sha256: str
    hash: int
    width: int
    height: int
    brightness: float
    notes: tuple[str, ...]
    orientation: int = 1
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cache:
    """The decoded images: (N, S, S, 3) uint8 in the order of the items, mapped from disk; broken rows are void."""

    images: NDArray[np.uint8]
    decoded: tuple[Decoded, ...]
    broken: tuple[Broken, ...]


def fill_cache(
    folder: Path,
    items: Sequence[Item],
    config: DatasetConfig,
    *,
    scratch: Path,
    image_size: int,
    on_image: Callable[[int, int], None] | None = None,
) -> Cache:
    """Decode and resize ``items`` into the file ``scratch``.

    PIL and hashlib let go of the interpreter's lock, so threads use all cores and no image is copied between
    processes. At most as many originals are in memory as there are threads.

    Args:
        folder: What the items' paths are relative to.
        items: Images to decode.
        config: ``resize`` and ``max_pixels`` are used.
        scratch: ``.npy`` file to write.
        image_size: S in pixels.
        on_image: Called with the number of images done and their total.
    """
    images = new_images(scratch, len(items), image_size)

    def one(row: int) -> Decoded | Broken:
        return _decode_into(images, row, folder, items[row], config)

    outcomes = []
    with warnings.catch_warnings(), ThreadPoolExecutor(passport().cores) as pool:
        # PIL warns of what is decided here: large images, odd EXIF, transparency in palettes.
        warnings.simplefilter("ignore")
        for outcome in pool.map(one, range(len(items))):
            outcomes.append(outcome)
            if on_image:
                on_image(len(outcomes), len(items))
    decoded = tuple(outcome for outcome in outcomes if isinstance(outcome, Decoded))
    broken = tuple(outcome for outcome in outcomes if isinstance(outcome, Broken))
    return Cache(images, decoded, broken)


def new_images(file: Path, count: int, image_size: int) -> NDArray[np.uint8]:
    """Create a ``.npy`` file of ``count`` images and return it mapped for writing.

    Raises:
        OSError: If the disk is too full. The blocks are claimed here: a write to a mapped page that finds none would
            end the process with SIGBUS.
    """
    shape = (count, image_size, image_size, 3)
    images = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    return images


def _decode_into(
    images: NDArray[np.uint8], row: int, folder: Path, item: Item, config: DatasetConfig
) -> Decoded | Broken:
    try:
        photo = decode(folder / item.path, max_pixels=config.max_pixels)
    except UnreadableImageError as error:
        return Broken(item, str(error))
    pixels = photo.pixels
    height, width = pixels.shape[:2]
    images[row] = resize(pixels, images.shape[1], config.resize)
    return Decoded(
        item=item,
        row=row,
        sha256=pixel_digest(pixels),
        hash=perceptual_hash(images[row]),
        width=width,
        height=height,
        brightness=float(images[row].mean() / 255),
        notes=photo.notes,
        orientation=photo.orientation,
    )


def pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of the size and the pixels: another file format or other metadata do not change it."""
    digest = hashlib.sha256(str(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """Return the 64 signs of the lowest frequencies (Zauner 2010): few differ between pictures that look alike."""
    bits = imagehash.phash(Image.fromarray(pixels)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
