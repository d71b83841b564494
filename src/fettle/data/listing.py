"""What a source offers, before an image is decoded: which files, in which split, with which label or boxes."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Item:
    """An image file that a source offers.

    Attributes:
        path: Below the listing's root, with ``/``; absolute if it is elsewhere.
        label: Name of its class; empty where boxes have the labels.
        split: Split that the source fixes, or ``None``.
        annotation: File that tells its boxes, written as ``path`` is; empty if there is none.
        extent: Width and height in pixels that the annotation claims, or ``None`` if it claims none.
    """

    path: str
    label: str = ""
    split: str | None = None
    annotation: str = ""
    extent: tuple[int, int] | None = None


@dataclass(frozen=True)
class Broken:
    """An image that was put in quarantine."""

    item: Item
    reason: str


@dataclass(frozen=True)
class Finding:
    """A box that cannot be used: the image, the file that tells of it, the place in that file, and why."""

    path: str
    file: str
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, {self.place}: {self.reason}"


@dataclass(frozen=True)
class Objects:
    """Boxes as a source writes them, those of all images in one table.

    Attributes:
        xyxy: (M, 4) float64 left, top, right, bottom; in pixels, right and bottom excluded, or as shares of the image.
        labels: (M,) int64 index of the class, which may be out of range.
        items: (M,) int64 index of the item, in rising order.
        places: (M,) int64 line, or identifier, in the item's annotation.
        relative: Coordinates are shares of the image's width and height.
        place: What ``places`` count, such as ``line``.
    """

    xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    items: NDArray[np.int64]
    places: NDArray[np.int64]
    relative: bool = False
    place: str = "line"

    def __len__(self) -> int:
        return len(self.labels)


class ObjectTable:
    """Objects in the making; a box takes 56 bytes."""

    def __init__(self) -> None:
        self._xyxy, self._labels, self._items, self._places = array("d"), array("q"), array("q"), array("q")

    def add(self, item: int, label: int, xyxy: Sequence[float], place: int) -> None:
        self._xyxy.extend(xyxy)
        self._labels.append(label)
        self._items.append(item)
        self._places.append(place)

    def objects(self, *, relative: bool = False, place: str = "line") -> Objects:
        """Return the table, in the order of the items and, within them, as the boxes were added."""
        items = np.array(self._items, np.int64)
        order = np.argsort(items, kind="stable")
        xyxy = np.array(self._xyxy, np.float64).reshape(-1, 4)
        labels, places = (np.array(column, np.int64) for column in (self._labels, self._places))
        return Objects(xyxy[order], labels[order], items[order], places[order], relative=relative, place=place)


@dataclass(frozen=True)
class Listing:
    """All that a source offers.

    Attributes:
        root: What paths are relative to.
        items: The images.
        classes: Names of the classes of boxes, in the order of their labels; labels of whole images name themselves.
        objects: The boxes, or ``None`` where images have labels.
        broken: Images whose annotation cannot be read.
        findings: Boxes that cannot be read.
        notes: What the reader decided, for the log.
        files: Files that annotate, written as paths are.
    """

    root: Path
    items: tuple[Item, ...]
    classes: tuple[str, ...] = ()
    objects: Objects | None = None
    broken: tuple[Broken, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
