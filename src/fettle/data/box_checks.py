"""Checks of boxes against the images that they are on; all at once, by columns."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fettle.data.listing import Finding, Item, Listing, Objects
from fettle.errors import DataError

log = logging.getLogger("fettle")

# What rounding may let overhang: a pixel, or a thousandth of the side.
OVERHANG = (1.0, 1e-3)
TURNED = 5  # from this EXIF orientation on, width and height are exchanged
MOST_TOLD = 5


@dataclass(frozen=True)
class Checked:
    """The boxes that can be used.

    Attributes:
        xyxy: (M, 4) float64 in pixels of the upright photograph, inside it.
        labels: (M,) int64.
        items: (M,) int64 index of the item, in rising order.
        findings: The others, and why they are none.
        misfits: Reasons by item whose image is another than the one that was annotated.
    """

    xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    items: NDArray[np.int64]
    findings: tuple[Finding, ...]
    misfits: dict[int, str]


def check_boxes(listing: Listing, sizes: NDArray[np.int64], orientations: NDArray[np.int64]) -> Checked:
    """Bring boxes into pixels of the upright image, and set aside those that cannot be right.

    What an annotation says refers to the image as it is displayed, unless it gives the width and height of the stored,
    lying one: then its boxes are turned with the image. An image of any other size than annotated is a misfit.

    Args:
        listing: With objects.
        sizes: (N, 2) width and height of each item's upright image in pixels; 0 for images that cannot be decoded.
        orientations: (N,) EXIF orientation, 1 for an image that is stored upright.
    """
    objects = listing.objects
    assert objects is not None
    turned, misfits = _compare(listing.items, sizes, orientations)
    usable = sizes[:, 0] > 0
    usable[list(misfits)] = False
    objects = _keep(objects, usable[objects.items])
    xyxy = _in_pixels(objects, sizes)
    _turn(xyxy, objects.items, np.where(turned, orientations, 1), sizes)
    limits = np.tile(sizes[objects.items], 2).astype(np.float64)
    clipped = np.clip(xyxy, 0, limits)
    reasons = _reasons(xyxy, clipped, limits, objects, listing.classes)
    found = (*listing.findings, *_findings(listing, objects, reasons))
    good = np.array([not reason for reason in reasons], bool)
    return Checked(clipped[good], objects.labels[good], objects.items[good], found, misfits)


def _keep(objects: Objects, rows: NDArray[np.bool_]) -> Objects:
    columns = (objects.xyxy[rows], objects.labels[rows], objects.items[rows], objects.places[rows])
    return Objects(*columns, relative=objects.relative, place=objects.place)


def _compare(
    items: Sequence[Item], sizes: NDArray[np.int64], orientations: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], dict[int, str]]:
    """Return which annotations are of the stored, lying image (N,), and which are of another size, with the reason."""
    claimed = np.array([item.extent or (0, 0) for item in items], np.int64).reshape(-1, 2)
    known = (claimed > 0).all(axis=1) & (sizes > 0).all(axis=1)
    differs = known & (claimed != sizes).any(axis=1)
    turned = differs & (orientations >= TURNED) & (claimed == sizes[:, ::-1]).all(axis=1)
    misfits = {
        index: f"has {'x'.join(map(str, sizes[index]))} pixels, but {items[index].annotation} is of an image of "
        f"{'x'.join(map(str, claimed[index]))}"
        for index in np.flatnonzero(differs & ~turned).tolist()
    }
    return turned, misfits


def _in_pixels(objects: Objects, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    return objects.xyxy * np.tile(sizes[objects.items], 2) if objects.relative else objects.xyxy.copy()


def _turn(
    xyxy: NDArray[np.float64], items: NDArray[np.int64], orientations: NDArray[np.int64], sizes: NDArray[np.int64]
) -> None:
    """Turn boxes with their images, in place: EXIF orientations 5 to 8, of which ``sizes`` are the upright ones."""
    for orientation in range(TURNED, 9):
        rows = orientations[items] == orientation
        left, top, right, bottom = xyxy[rows].T
        width, height = sizes[items[rows]].T
        across = (top, bottom) if orientation in (5, 8) else (width - bottom, width - top)
        down = (left, right) if orientation in (5, 6) else (height - right, height - left)
        xyxy[rows] = np.stack([across[0], down[0], across[1], down[1]], axis=1)


def _reasons(
    xyxy: NDArray[np.float64],
    clipped: NDArray[np.float64],
    limits: NDArray[np.float64],
    objects: Objects,
    classes: Sequence[str],
) -> list[str]:
    """Return why each box is invalid; empty for one that is not. The first reason counts."""
    finite = np.isfinite(xyxy).all(axis=1)
    slack = np.maximum(OVERHANG[0], OVERHANG[1] * limits)
    with np.errstate(invalid="ignore"):  # what is not finite has its own reason
        width, height = (xyxy[:, 2:] - xyxy[:, :2]).T
        outside = ((xyxy < -slack) | (xyxy > limits + slack)).any(axis=1)
        nothing = (clipped[:, 2:] - clipped[:, :2] <= 0).any(axis=1)
    checks = {
        "a coordinate is not a number, or infinite": ~finite,
        f"the class is not in 0..{len(classes) - 1}": (objects.labels < 0) | (objects.labels >= len(classes)),
        "the width or height is negative": finite & ((width < 0) | (height < 0)),
        "the width or height is zero": finite & ((width == 0) | (height == 0)),
        "the box is outside the image": outside,
        "nothing of the box is in the image": nothing,
    }
    sound = ~np.any(list(checks.values()), axis=0)
    checks["the same box is there before"] = _repeated(clipped, objects, sound)
    reasons = [""] * len(objects)
    for reason, rows in reversed(checks.items()):
        for row in np.flatnonzero(rows).tolist():
            reasons[row] = reason
    return reasons


def _repeated(xyxy: NDArray[np.float64], objects: Objects, sound: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which boxes have the class and, to a hundredth of a pixel, the corners of an earlier one (M,)."""
    rows = np.flatnonzero(sound)
    keys = np.column_stack([objects.items[rows], objects.labels[rows], (xyxy[rows] * 100).round().astype(np.int64)])
    first = np.unique(keys, axis=0, return_index=True)[1] if len(rows) else rows
    repeated = sound.copy()
    repeated[rows[first]] = False
    return repeated


def _findings(listing: Listing, objects: Objects, reasons: Sequence[str]) -> list[Finding]:
    found = []
    for row, reason in enumerate(reasons):
        if reason:
            item = listing.items[objects.items[row]]
            place = f"{objects.place} {objects.places[row]}"
            found.append(Finding(item.path, item.annotation, place, f"{reason}: {_written(objects, row)}"))
    return found


def _written(objects: Objects, row: int) -> str:
    corners = ", ".join(f"{value:g}" for value in objects.xyxy[row])
    return f"class {objects.labels[row]}, corners {corners}"


def judge_boxes(source: Path, images: int, good: int, findings: Sequence[Finding], *, most: float) -> None:
    """Warn of boxes that cannot be used.

    Raises:
        DataError: If none can, or more than the share ``most`` of all cannot.
    """
    total = good + len(findings)
    if not total:
        raise DataError(
            f"{source} has {images} images and not a single box: a detector cannot learn from it. Check "
            "dataset.layout, and that the annotations lie where it looks for them."
        )
    examples = "; ".join(map(str, findings[:MOST_TOLD])) + (" …" if len(findings) > MOST_TOLD else "")
    found = f"{len(findings)} of {total} boxes in {source} cannot be used: {examples}."
    if not good:
        raise DataError(f"{found} None is left.")
    if len(findings) > most * total:
        raise DataError(f"{found} That is more than dataset.max_invalid_boxes={most:g}: mend them, or raise it.")
    if findings:
        log.warning("%s They are left out and listed in quarantine.jsonl.", found)
