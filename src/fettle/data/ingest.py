"""Ingest: from a source of labelled images to the files of a ``dataset`` artifact."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fettle.data.cache import Broken, Cache, Decoded, fill_cache
from fettle.data.dataset import IMAGES, INDEX, RECORDS, Record, balanced_weights
from fettle.data.duplicates import Copies, drop_copies, look_alikes
from fettle.data.grid import sample_grid
from fettle.data.readers import read, root
from fettle.data.splits import split_images
from fettle.data.statistics import channel_moments, describe
from fettle.errors import DataError
from fettle.spec import SPLITS, DatasetConfig

log = logging.getLogger("fettle")

Progress = Callable[[int, int], None]


def ingest(
    source: Path,
    folder: Path,
    config: DatasetConfig,
    *,
    task: str,
    image_size: int,
    on_image: Progress | None = None,
) -> dict[str, Any]:
    """Check, decode, resize and split the images of ``source``; write the files of a dataset into ``folder``.

    Rows are written in the order of their split and, within it, of their content, so neither names nor the order of
    the source matter. Memory holds a few originals and the facts of each image, whatever their number.

    Args:
        source: Folder of images, or CSV file; it is only read.
        folder: Existing folder to write into.
        config: How labels are read, images resized and splits made.
        task: What the labels are for.
        image_size: Height and width of the stored images in pixels.
        on_image: Called with the number of images decoded and their total.

    Returns:
        Counts for the card: images a split, broken ones, copies, groups of look-alikes.

    Raises:
        DataError: If images or labels cannot be used as they are; the message says which and what to do.
    """
    items = read(source, config, task=task)
    scratch = folder / "scratch.npy"
    cache = fill_cache(root(source), items, config, scratch=scratch, image_size=image_size, on_image=on_image)
    _check_broken(source, cache.broken, len(items), config.max_broken)
    kept, copies = drop_copies(cache.decoded)
    classes = _classes(source, kept)
    groups = look_alikes([image.hash for image in kept], distance=config.near_distance)
    splits = split_images(kept, groups if config.group_near_duplicates else [], config.split)
    _warn_of_crossings(groups, splits)
    order = sorted(range(len(kept)), key=lambda index: (SPLITS.index(splits[index]), kept[index].sha256))
    records = [_record(kept[index], splits[index], classes) for index in order]
    images = _write_images(folder, cache, [kept[index].row for index in order])
    scratch.unlink()
    counts = _counts(records, classes)
    _write_lines(folder / RECORDS, map(vars, records))
    _write_lines(
        folder / "quarantine.jsonl", [{**vars(broken.item), "reason": broken.reason} for broken in cache.broken]
    )
    _write_json(folder / "duplicates.json", _duplicates(copies, groups, kept, splits))
    _write_json(folder / INDEX, _index(task, classes, image_size, config, counts, kept, images, records))
    sample_grid(images, np.array([record.label for record in records]), classes).save(folder / "grid.jpg", quality=90)
    return {
        "images": {split: sum(labels.values()) for split, labels in counts.items()},
        "broken": len(cache.broken),
        "copies": sum(len(same.dropped) for same in copies),
        "near_duplicate_groups": len(groups),
    }


def _check_broken(source: Path, broken: Sequence[Broken], total: int, most: float) -> None:
    if not broken:
        return
    examples = "; ".join(f"{one.item.path!r} {one.reason}" for one in broken[:5])
    found = f"{len(broken)} of {total} images in {source} cannot be used: {examples}{' …' if len(broken) > 5 else ''}."
    if len(broken) == total:
        raise DataError(f"{found} None is left.")
    if len(broken) > most * total:
        raise DataError(f"{found} That is more than dataset.max_broken={most:g}: mend or remove them, or raise it.")
    log.warning("%s They are left out and listed in quarantine.jsonl.", found)


def _classes(source: Path, images: Sequence[Decoded]) -> tuple[str, ...]:
    classes = tuple(sorted({image.item.label for image in images}))
    if len(classes) < 2:
        raise DataError(
            f"{source} has one class only, {classes[0]!r}: a classifier needs two or more. Check dataset.layout "
            f"(`fettle init {source}` proposes one)."
        )
    return classes


def _warn_of_crossings(groups: Sequence[Sequence[int]], splits: Sequence[str]) -> None:
    crossing = sum(len({splits[index] for index in group}) > 1 for group in groups)
    if crossing:
        log.warning(
            "%d of %d groups of images that look alike lie in several splits (duplicates.json lists them); "
            "dataset.group_near_duplicates=true keeps each in one.",
            crossing,
            len(groups),
        )


def _record(image: Decoded, split: str, classes: Sequence[str]) -> Record:
    return Record(
        path=image.item.path,
        label=classes.index(image.item.label),
        split=split,
        sha256=image.sha256,
        width=image.width,
        height=image.height,
    )


def _write_images(folder: Path, cache: Cache, rows: Sequence[int]) -> NDArray[np.uint8]:
    """Copy the rows that are kept, in order, and return them mapped from disk."""
    shape = (len(rows), *cache.images.shape[1:])
    images = np.lib.format.open_memmap(folder / IMAGES, mode="w+", dtype=np.uint8, shape=shape)
    for target, row in enumerate(rows):
        images[target] = cache.images[row]
    images.flush()
    return images


def _counts(records: Sequence[Record], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    found = Counter((record.split, record.label) for record in records)
    splits = [split for split in SPLITS if any(split == made for made, _ in found)]
    return {split: {name: found[split, label] for label, name in enumerate(classes)} for split in splits}


def _duplicates(
    copies: Sequence[Copies], groups: Sequence[Sequence[int]], images: Sequence[Decoded], splits: Sequence[str]
) -> dict[str, Any]:
    """Describe exact copies (one kept, others left out) and look-alikes (all kept)."""
    return {
        "exact": [{"kept": same.kept.item.path, "dropped": [one.item.path for one in same.dropped]} for same in copies],
        "near": [
            [{"path": images[i].item.path, "label": images[i].item.label, "split": splits[i]} for i in group]
            for group in groups
        ],
    }


def _index(
    task: str,
    classes: Sequence[str],
    image_size: int,
    config: DatasetConfig,
    counts: Mapping[str, Mapping[str, int]],
    kept: Sequence[Decoded],
    images: NDArray[np.uint8],
    records: Sequence[Record],
) -> dict[str, Any]:
    training = sum(counts["train"].values())  # the first rows
    labels = np.array([record.label for record in records[:training]], dtype=np.int64)
    mean, std = channel_moments(images[:training])
    weights = balanced_weights(labels, len(classes)).round(6).tolist()
    return {
        "task": task,
        "classes": classes,
        "image_size": image_size,
        "resize": config.resize,
        "counts": counts,
        "weights": dict(zip(classes, weights, strict=True)),
        "statistics": {"mean": mean, "std": std, **describe(kept)},
    }


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _write_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(dict(value)) + "\n" for value in values), encoding="utf-8")
