"""Readers: which files of a source are images, with which label and, where the source says so, in which split."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fettle.data.decode import SUFFIXES
from fettle.errors import DataError
from fettle.spec import DatasetConfig

SPLIT_FOLDERS = {
    "train": "train", "training": "train", "calib": "calib", "calibration": "calib",
    "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """An image file that a source offers.

    Attributes:
        path: Below the source, with ``/``.
        label: Name of its class.
        split: Split that the source fixes, or ``None``.
    """

    path: str
    label: str
    split: str | None = None


Reader = Callable[[Path, DatasetConfig], list[Item]]


def read_imagefolder(source: Path, config: DatasetConfig) -> list[Item]:
    """A folder a class, with or without ``train``, ``val``, ``test``, ``calib`` folders above."""
    paths = [path for path in image_paths(source) if "/" in path]
    tops = {path.split("/")[0].lower() for path in paths}
    split_above = bool(tops) and tops <= SPLIT_FOLDERS.keys()
    items = []
    for path in paths:
        top, *rest = path.split("/")
        items.append(Item(path, rest[0], SPLIT_FOLDERS[top.lower()]) if split_above else Item(path, top))
    return items


READERS: Mapping[str, Mapping[str, Reader]] = {
    "classify": {"imagefolder": read_imagefolder, "castings": read_imagefolder}
}


def image_paths(source: Path) -> list[str]:
    """Return the image files below ``source`` in order of their names, hidden ones left out."""
    if not source.is_dir():
        raise DataError(f"{source} is not a folder: give dataset.path a folder of images.")
    return sorted(_walk(source))


def _walk(source: Path) -> Iterator[str]:
    seen = set()
    for folder, subfolders, files in os.walk(source, followlinks=True):
        real = os.path.realpath(folder)
        subfolders[:] = [] if real in seen else [name for name in subfolders if not name.startswith(".")]
        for name in files if real not in seen else ():
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield (Path(folder) / name).relative_to(source).as_posix()
        seen.add(real)
