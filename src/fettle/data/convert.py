"""Annotated images from one layout to another."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fettle.data.box_checks import Checked, check_boxes, judge_boxes
from fettle.data.boxes import starts_of
from fettle.data.decode import orientation_of
from fettle.data.listing import Finding, Item, Listing
from fettle.data.readers import READERS, read
from fettle.data.readers.files import SPLIT_NAMES
from fettle.data.writers import PLACES, WRITERS
from fettle.data.writers.annotated import Annotated
from fettle.errors import DataError, SpecError
from fettle.hardware import passport
from fettle.spec import DatasetConfig

log = logging.getLogger("fettle")

CONTAINERS = {"images", "jpegimages"}


@dataclass(frozen=True)
class Converted:
    """What was written, and what was left out."""

    images: int
    boxes: int
    broken: int
    invalid: int


def convert(source: Path, out: Path, *, read_as: str, write_as: str, link: bool = False) -> Converted:
    """Write the images and boxes of ``source`` in another layout, all or nothing.

    Boxes are checked as before training; ``quarantine.jsonl`` lists those that are left out. Images without a split
    go to ``train``, from which ingest carves what is missing.

    Args:
        source: Folder or file; it is only read.
        out: Folder to make.
        read_as: Layout of the source.
        write_as: Layout to write: ``yolo``, ``coco`` or ``voc``.
        link: Put symbolic links to the images there, not copies.

    Raises:
        SpecError: If a layout is unknown.
        DataError: If the source cannot be read, too many of its boxes are invalid, or ``out`` is there or cannot be
            written.
    """
    for option, value, known in (("from", read_as, READERS["detect"]), ("to", write_as, WRITERS)):
        if value not in known:
            raise SpecError(f"`--{option}` must be one of {', '.join(known)}, got {value!r}.")
    if out.exists():
        raise DataError(f"`out` {out} is there already: remove it or choose another name.")
    config = DatasetConfig(layout=read_as, path=str(source))
    listing = read(source, config, task="detect")
    for note in listing.notes:
        log.info("%s", note)
    sizes, orientations = _headers(listing)
    checked = check_boxes(listing, sizes, orientations)
    usable = np.array([size[0] > 0 and row not in checked.misfits for row, size in enumerate(sizes)], bool)
    judge_boxes(source, int(usable.sum()), len(checked.labels), checked.findings, most=config.max_invalid_boxes)
    found = _annotated(listing, checked, sizes, np.flatnonzero(usable).tolist(), flat=write_as == "voc")
    broken = len(listing.broken) + len(listing.items) - len(found)
    if broken:
        log.warning("%d images of %s cannot be used and are left out.", broken, source)
    _write(out, listing, found, checked.findings, write_as, link=link)
    return Converted(len(found), len(checked.labels), broken, len(checked.findings))


def _headers(listing: Listing) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return upright sizes (N, 2), 0 for what is no image, and EXIF orientations (N,), from the headers."""

    def one(item: Item) -> tuple[int, int, int]:
        try:
            with Image.open(listing.root / item.path) as image:
                orientation = orientation_of(image)
                width, height = image.size if orientation < 5 else image.size[::-1]
                return width, height, orientation
        except Exception:  # a broken header may raise anything
            return 0, 0, 1

    with ThreadPoolExecutor(passport().cores) as pool:
        table = np.array(list(pool.map(one, listing.items)), np.int64).reshape(-1, 3)
    return table[:, :2], table[:, 2]


def _annotated(
    listing: Listing, checked: Checked, sizes: NDArray[np.int64], rows: Sequence[int], *, flat: bool
) -> dict[int, Annotated]:
    """Return what to write by the row of the item."""
    starts = starts_of(np.bincount(checked.items, minlength=len(listing.items)))
    found = {}
    for row in rows:
        item, boxes = listing.items[row], slice(starts[row], starts[row + 1])
        name, (width, height) = _name(item.path), sizes[row].tolist()
        found[row] = Annotated(
            name, item.split or "train", width, height, checked.xyxy[boxes], checked.labels[boxes]
        )  # fmt: skip
    _refuse_collisions(found, listing, flat=flat)
    return found


def _name(path: str) -> str:
    """Return a file name that keeps what folders tell, but for splits and the like."""
    *folders, name = PurePosixPath(path).parts
    kept = [part for part in folders if part != "/" and part.lower() not in {*SPLIT_NAMES, *CONTAINERS}]
    return "_".join([*kept, name])


def _refuse_collisions(found: dict[int, Annotated], listing: Listing, *, flat: bool) -> None:
    keys = {row: (image.stem, "" if flat else image.split) for row, image in found.items()}
    repeated = {key for key, count in Counter(keys.values()).items() if count > 1}
    paths = [listing.items[row].path for row, key in keys.items() if key in repeated]
    if paths:
        raise DataError(f"{paths[0]!r} and {paths[1]!r} would have the same name: rename one.")


def _write(
    out: Path,
    listing: Listing,
    found: dict[int, Annotated],
    findings: Sequence[Finding],
    layout: str,
    *,
    link: bool,
) -> None:
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        WRITERS[layout](partial, list(found.values()), listing.classes)
        for row, image in found.items():
            place = partial / PLACES[layout](image.name, image.split)
            place.parent.mkdir(parents=True, exist_ok=True)
            original = listing.root.absolute() / listing.items[row].path
            place.symlink_to(original) if link else shutil.copyfile(original, place)
        if findings:
            lines = "".join(json.dumps(asdict(finding)) + "\n" for finding in findings)
            (partial / "quarantine.jsonl").write_text(lines, encoding="utf-8")
        partial.rename(out)
    except OSError as error:
        raise DataError(f"Could not write {out}: {error}. Free some space or choose another folder.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
