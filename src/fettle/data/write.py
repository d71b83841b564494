"""Write the files of a ``dataset`` artifact; :mod:`fettle.data.dataset` reads them."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fettle.data.box_statistics import describe_boxes
from fettle.data.cache import Cache, Decoded, new_images
from fettle.data.dataset import IMAGES, INDEX, RECORDS, Record, balanced_weights
from fettle.data.duplicates import Copies
from fettle.data.grid import grid_of_boxes, grid_of_labels
from fettle.data.settle import Settled
from fettle.data.statistics import channel_moments, describe
from fettle.spec import SPLITS

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Placed:
    """An image that is kept, and its split."""

    image: Decoded
    split: str


def write_dataset(
    folder: Path, rows: Sequence[Placed], cache: Cache, settled: Settled, about: Mapping[str, Any]
) -> None:
    """Write pixels, boxes, records, index and sample grid.

    Args:
        folder: Folder to write into.
        rows: The images in the order in which they are stored: a split after the other, ``train`` first.
        cache: Where their pixels are.
        settled: Their classes and boxes.
        about: Entries of the index that are known before.
    """
    order = np.array([row.image.row for row in rows], np.int64)
    images, classes = _write_images(folder / IMAGES, cache, order), settled.classes
    records = [_record(row, classes) for row in rows]
    _write_lines(folder / RECORDS, map(asdict, records))
    counts = _counts(rows, classes)
    mean, std = channel_moments(images[: sum(row.split == "train" for row in rows)])
    statistics = {"mean": mean, "std": std, **describe([row.image for row in rows])}
    if settled.boxes is None:
        sheet = grid_of_labels(images, np.array([record.label for record in records], np.int64), classes)
    else:
        boxes = settled.boxes.take(order)
        boxes.save(folder)
        statistics["boxes"] = describe_boxes(boxes, classes, side=images.shape[1])
        sheet = grid_of_boxes(images, boxes, classes)
    index = {
        **about,
        "classes": classes,
        "counts": counts,
        "weights": dict(zip(classes, balanced_weights(list(counts["train"].values())).round(6).tolist(), strict=True)),
        "statistics": statistics,
    }
    _write_json(folder / INDEX, index)
    sheet.save(folder / "grid.jpg", quality=90)


def write_findings(
    folder: Path, settled: Settled, copies: Sequence[Copies], groups: Sequence[Sequence[Placed]]
) -> None:
    """Write which images and boxes were left out and why, and which images look alike (those are kept)."""
    images = ({**asdict(one.item), "reason": one.reason} for one in settled.broken)
    _write_lines(folder / "quarantine.jsonl", itertools.chain(images, map(asdict, settled.findings)))
    exact = [_copies(same) for same in copies]
    near = [
        [{"path": one.image.item.path, "label": one.image.item.label, "split": one.split} for one in group]
        for group in groups
    ]
    _write_json(folder / "duplicates.json", {"exact": exact, "near": near})


def _copies(same: Copies) -> dict[str, Any]:
    differing = {"differing": [one.item.path for one in same.differing]} if same.differing else {}
    return {"kept": same.kept.item.path, "dropped": [one.item.path for one in same.dropped], **differing}


def _write_images(file: Path, cache: Cache, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Copy the rows that are kept, in order, and return them mapped from disk."""
    images = new_images(file, len(rows), cache.images.shape[1])
    for target, row in enumerate(rows.tolist()):
        images[target] = cache.images[row]
    return images


def _record(row: Placed, classes: Sequence[str]) -> Record:
    image = row.image
    return Record(
        path=image.item.path,
        label=classes.index(image.item.label) if image.item.label else -1,
        split=row.split,
        sha256=image.sha256,
        width=image.width,
        height=image.height,
    )


def _counts(rows: Sequence[Placed], classes: Sequence[str]) -> Counts:
    """Return the objects of each split and class."""
    found = Counter((row.split, label) for row in rows for label in row.image.labels)
    made = {row.split for row in rows}
    return {split: {name: found[split, name] for name in classes} for split in SPLITS if split in made}


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _write_lines(file: Path, values: Iterable[Mapping[str, Any]]) -> None:
    file.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
