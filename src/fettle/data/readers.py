"""Readers: which files of a source are images, with which label and, where the source says so, in which split."""

import csv
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fettle.data.decode import SUFFIXES
from fettle.errors import DataError
from fettle.spec import DatasetConfig

log = logging.getLogger("fettle")

SPLIT_NAMES: Mapping[str, str] = {
    "train": "train", "training": "train", "calib": "calib", "calibration": "calib",
    "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """An image file that a source offers.

    Attributes:
        path: Below the source's folder, with ``/``.
        label: Name of its class.
        split: Split that the source fixes, or ``None``.
    """

    path: str
    label: str
    split: str | None = None


Reader = Callable[[Path, DatasetConfig], list[Item]]


def read_imagefolder(source: Path, config: DatasetConfig) -> list[Item]:
    """A folder a class, with or without ``train``, ``val``, ``test``, ``calib`` folders above."""
    del config
    paths = [path.split("/") for path in image_paths(source)]
    nested = [parts for parts in paths if len(parts) > 1]
    split_above = bool(nested) and all(parts[0].lower() in SPLIT_NAMES for parts in nested)
    depth = 2 if split_above else 1
    labelled = [parts for parts in nested if len(parts) > depth]
    _report_skipped(source, len(paths) - len(labelled), "lie in no class folder", remedy="use layout: pattern")
    return [
        Item("/".join(parts), parts[depth - 1], SPLIT_NAMES[parts[0].lower()] if split_above else None)
        for parts in labelled
    ]


def read_pattern(source: Path, config: DatasetConfig) -> list[Item]:
    """The group ``label`` of a regular expression that is searched in the path."""
    pattern = re.compile(config.label_pattern or "")
    found = [(path, pattern.search(path)) for path in image_paths(source)]
    items = [Item(path, match["label"]) for path, match in found if match and match["label"]]
    _report_skipped(source, len(found) - len(items), f"do not match {pattern.pattern!r}", remedy="mend label_pattern")
    return items


def read_csv(source: Path, config: DatasetConfig) -> list[Item]:
    """Lines ``path,label[,split]`` under such a header; paths are relative to the folder of the file."""
    del config
    if not source.is_file():
        raise DataError(f"{source} is not a file: for layout: csv, dataset.path is a CSV file.")
    try:
        with source.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream)
            header = rows.fieldnames or []
            if not {"path", "label"} <= set(header):
                raise DataError(f"{source}, line 1: the header must be path,label[,split], got {','.join(header)!r}.")
            return [_csv_item(source, rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source} cannot be read as a CSV file in UTF-8: {error}.") from None


def _csv_item(source: Path, line: int, row: Mapping[str, str | None]) -> Item:
    path = row.get("path") or ""  # as it is: a file name may begin with a space
    label, split = ((row.get(key) or "").strip() for key in ("label", "split"))
    if not path or not label:
        raise DataError(f"{source}, line {line}: {'path' if not path else 'label'} is empty.")
    if split and split.lower() not in SPLIT_NAMES:
        raise DataError(f"{source}, line {line}: split must be train, calib, val, test or empty, got {split!r}.")
    return Item(path, label, SPLIT_NAMES[split.lower()] if split else None)


# By task, then by ``dataset.layout``. Castings are an ImageFolder once they are made.
READERS: Mapping[str, Mapping[str, Reader]] = {
    "classify": {
        "imagefolder": read_imagefolder,
        "pattern": read_pattern,
        "csv": read_csv,
        "castings": read_imagefolder,
    }
}


def read(source: Path, config: DatasetConfig, *, task: str) -> list[Item]:
    """Return the labelled images of ``source``, in order of their names.

    Raises:
        DataError: If the source is missing or holds no labelled image, or a line of a CSV file is wrong.
    """
    readers = READERS.get(task)
    if readers is None:
        raise DataError(f"There is no reader for task {task!r}; there are some for {', '.join(READERS)}.")
    if not source.exists():
        raise DataError(f"{source} does not exist: set dataset.path to the folder (or CSV file) of images.")
    items = readers[config.layout](source, config)
    if not items:
        raise DataError(
            f"{source} has no labelled image in layout {config.layout!r}: see `fettle init {source}` for its layout. "
            f"Images are files that end in {', '.join(sorted(SUFFIXES))}."
        )
    return items


def root(source: Path) -> Path:
    """Return the folder that the paths of a source are relative to."""
    return source if source.is_dir() else source.parent


def image_paths(folder: Path) -> list[str]:
    """Return the image files below ``folder`` in order of their names, hidden ones left out; links are followed.

    Raises:
        DataError: If it is no folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: set dataset.path to a folder of images.")
    return sorted(_walk(folder))


def _walk(top: Path) -> Iterator[str]:
    seen = set[str]()
    for folder, subfolders, files in os.walk(top, followlinks=True, onerror=_refuse):
        real = os.path.realpath(folder)
        if real in seen:  # a link to where we have been: do not go round in circles
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield (Path(folder) / name).relative_to(top).as_posix()


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename} cannot be listed ({error.strerror}): images in it would be missed.") from error


def _report_skipped(source: Path, count: int, why: str, *, remedy: str) -> None:
    if count:
        log.warning("%s: %d images %s and are left out (%s, if they should count).", source, count, why, remedy)
