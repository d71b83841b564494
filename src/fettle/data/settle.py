"""What the images hold, now that they are decoded and their sizes known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fettle.data.box_checks import Checked, check_boxes, judge_boxes
from fettle.data.boxes import Boxes, starts_of
from fettle.data.cache import Cache, Decoded
from fettle.data.listing import Broken, Finding, Listing
from fettle.data.resize import Placement
from fettle.errors import DataError
from fettle.spec import DatasetConfig


@dataclass(frozen=True)
class Settled:
    """Images with the labels of what is on them.

    Attributes:
        images: Those that can be used; :attr:`Decoded.labels` are set.
        classes: Names in the order of their indices.
        boxes: Of all items, in pixels of the stored square; ``None`` where images have labels.
        broken: Images that cannot be used.
        findings: Boxes that cannot be used.
        facts: Counts for the index and the card.
    """

    images: tuple[Decoded, ...]
    classes: tuple[str, ...]
    boxes: Boxes | None = None
    broken: tuple[Broken, ...] = ()
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, int] = field(default_factory=dict)


def settle_labels(listing: Listing, cache: Cache, config: DatasetConfig) -> Settled:
    """An image holds what its label says."""
    del listing, config
    images = tuple(replace(image, labels=(image.item.label,)) for image in cache.decoded)
    return Settled(images, tuple(sorted({image.item.label for image in images})), broken=cache.broken)


def settle_boxes(listing: Listing, cache: Cache, config: DatasetConfig) -> Settled:
    """An image holds what its boxes say, once they are checked."""
    count = len(listing.items)
    sizes, orientations = np.zeros((count, 2), np.int64), np.ones(count, np.int64)
    for image in cache.decoded:
        sizes[image.row], orientations[image.row] = (image.width, image.height), image.orientation
    checked = check_boxes(listing, sizes, orientations)
    starts = starts_of(np.bincount(checked.items, minlength=count))
    names = np.array(listing.classes, dtype=object)[checked.labels]
    images = tuple(
        replace(image, labels=tuple(names[starts[image.row] : starts[image.row + 1]]))
        for image in cache.decoded
        if image.row not in checked.misfits
    )
    misfits = (Broken(listing.items[row], reason) for row, reason in checked.misfits.items())
    return Settled(
        images=images,
        classes=listing.classes,
        boxes=_in_squares(checked, starts, sizes, cache.images.shape[1], config.resize),
        broken=(*listing.broken, *cache.broken, *misfits),
        findings=checked.findings,
        facts={
            "boxes": len(checked.labels),
            "invalid_boxes": len(checked.findings),
            "background_images": sum(not image.labels for image in images),
            "images_without_annotation": sum(not image.item.annotation for image in images),
        },
    )


def _in_squares(checked: Checked, starts: NDArray[np.int64], sizes: NDArray[np.int64], side: int, mode: str) -> Boxes:
    """Map boxes from the photographs to the stored squares; those of one size lie alike."""
    xyxy = np.empty((len(checked.xyxy), 4), np.float32)
    kinds, kind = np.unique(sizes[checked.items], axis=0, return_inverse=True)
    for number, (width, height) in enumerate(kinds.tolist()):
        rows = kind == number
        xyxy[rows] = Placement.of(width, height, side, mode).to_square(checked.xyxy[rows])
    sides = checked.xyxy[:, 2:] - checked.xyxy[:, :2]
    return Boxes(xyxy, checked.labels, starts, sides.prod(axis=1).astype(np.float32))


def judge_labels(source: Path, settled: Settled, config: DatasetConfig) -> None:
    """Raise DataError if all images have the same label."""
    del config
    if len(settled.classes) == 1:
        raise DataError(
            f"{source} has one class only, {settled.classes[0]!r}: there must be two or more to tell apart. Check "
            f"dataset.layout (`fettle init {source}` proposes one)."
        )


def judge_objects(source: Path, settled: Settled, config: DatasetConfig) -> None:
    """Raise DataError if there is no box, or more of them are invalid than ``max_invalid_boxes``."""
    images, boxes = len(settled.images), settled.facts["boxes"]
    judge_boxes(source, images, boxes, settled.findings, most=config.max_invalid_boxes)


SETTLE: Mapping[str, Callable[[Listing, Cache, DatasetConfig], Settled]] = {
    "classify": settle_labels,
    "embed": settle_labels,
    "detect": settle_boxes,
}
JUDGE: Mapping[str, Callable[[Path, Settled, DatasetConfig], None]] = {
    "classify": judge_labels,
    "embed": judge_labels,
    "detect": judge_objects,
}
