"""Write the files of a ``dataset`` artifact; :mod:`fettle.data.dataset` reads them."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fettle.data.cache import Broken, Cache, Decoded, new_images
from fettle.data.dataset import IMAGES, INDEX, RECORDS, Record, balanced_weights
from fettle.data.duplicates import Copies
from fettle.data.grid import sample_grid
from fettle.data.statistics import channel_moments, describe
from fettle.spec import SPLITS

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Placed:
    """An image that is kept, and its split."""

    image: Decoded
    split: str


def write_dataset(
    folder: Path, rows: Sequence[Placed], cache: Cache, classes: Sequence[str], about: Mapping[str, Any]
) -> Counts:
    """Write pixels, records, index and sample grid; return the images by split and class.

    Args:
        folder: Folder to write into.
        rows: The images in the order in which they are stored: a split after the other, ``train`` first.
        cache: Where their pixels are.
        classes: Names of the classes in the order of their labels.
        about: Entries of the index that are known before.
    """
    images = _write_images(folder / IMAGES, cache, [row.image.row for row in rows])
    records = [_record(row, classes) for row in rows]
    _write_lines(folder / RECORDS, map(asdict, records))
    labels = np.array([record.label for record in records], dtype=np.int64)
    counts = _counts(rows, classes)
    mean, std = channel_moments(images[: sum(counts["train"].values())])
    weights = balanced_weights(list(counts["train"].values())).round(6).tolist()
    statistics = {"mean": mean, "std": std, **describe([row.image for row in rows])}
    index = {
        **about,
        "classes": classes,
        "counts": counts,
        "weights": dict(zip(classes, weights, strict=True)),
        "statistics": statistics,
    }
    _write_json(folder / INDEX, index)
    sample_grid(images, labels, classes).save(folder / "grid.jpg", quality=90)
    return counts


def write_findings(
    folder: Path, broken: Sequence[Broken], copies: Sequence[Copies], groups: Sequence[Sequence[Placed]]
) -> None:
    """Write which images were left out and why, and which look alike (those are kept)."""
    _write_lines(folder / "quarantine.jsonl", ({**asdict(one.item), "reason": one.reason} for one in broken))
    exact = [{"kept": same.kept.item.path, "dropped": [one.item.path for one in same.dropped]} for same in copies]
    near = [
        [{"path": one.image.item.path, "label": one.image.item.label, "split": one.split} for one in group]
        for group in groups
    ]
    _write_json(folder / "duplicates.json", {"exact": exact, "near": near})


def _write_images(file: Path, cache: Cache, rows: Sequence[int]) -> NDArray[np.uint8]:
    """Copy the rows that are kept, in order, and return them mapped from disk."""
    images = new_images(file, len(rows), cache.images.shape[1])
    for target, row in enumerate(rows):
        images[target] = cache.images[row]
    return images


def _record(row: Placed, classes: Sequence[str]) -> Record:
    image = row.image
    return Record(
        path=image.item.path,
        label=classes.index(image.item.label),
        split=row.split,
        sha256=image.sha256,
        width=image.width,
        height=image.height,
    )


def _counts(rows: Sequence[Placed], classes: Sequence[str]) -> Counts:
    found = Counter((row.split, row.image.item.label) for row in rows)
    made = {row.split for row in rows}
    return {split: {name: found[split, name] for name in classes} for split in SPLITS if split in made}


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _write_lines(file: Path, values: Iterable[Mapping[str, Any]]) -> None:
    file.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
