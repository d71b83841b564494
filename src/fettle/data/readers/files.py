"""The files below a folder, and what their names tell."""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from fettle.data.decode import SUFFIXES
from fettle.errors import DataError

SPLIT_NAMES: Mapping[str, str] = {
    "train": "train", "training": "train", "calib": "calib", "calibration": "calib",
    "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test",
}  # fmt: skip


def image_paths(folder: Path) -> list[str]:
    """Return the image files below ``folder``; see :func:`file_paths`."""
    return file_paths(folder, SUFFIXES)


def file_paths(folder: Path, suffixes: Collection[str]) -> list[str]:
    """Return the files below ``folder`` in order of their names, hidden ones left out; links are followed.

    Raises:
        DataError: If it is no folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: set dataset.path to a folder of images.")
    return sorted(_walk(folder, suffixes))


def split_in(name: str) -> str | None:
    """Return the split that a name tells, such as ``instances_val2017`` or ``VAL_IMAGES``."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def below(root: Path, file: Path) -> str:
    """Return ``file`` relative to ``root``, with ``/``; the whole path if it lies elsewhere."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()


def _walk(top: Path, suffixes: Collection[str]) -> Iterator[str]:
    seen = set[str]()
    for folder, subfolders, files in os.walk(top, followlinks=True, onerror=_refuse):
        real = os.path.realpath(folder)
        if real in seen:  # a link to where we have been: do not go round in circles
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield (Path(folder) / name).relative_to(top).as_posix()


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename} cannot be listed ({error.strerror}): images in it would be missed.") from error
