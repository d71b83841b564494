"""Ingest: from a source of labelled images to the files of a ``dataset`` artifact."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fettle.data.cache import fill_cache
from fettle.data.duplicates import drop_copies, look_alikes
from fettle.data.listing import Broken
from fettle.data.readers import read
from fettle.data.settle import JUDGE, SETTLE
from fettle.data.splits import split_images
from fettle.data.write import Placed, write_dataset, write_findings
from fettle.errors import DataError, SpecError
from fettle.spec import SPLITS, DatasetConfig

log = logging.getLogger("fettle")

# Tasks whose labels say where something is, and the values of ``resize`` that leave it in the image.
KEEPS_ALL = {"detect": ("squash", "pad")}

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
        SpecError: If ``resize`` does not suit the task.
        DataError: If images or labels cannot be used as they are; the message says which and what to do.
    """
    if config.resize not in KEEPS_ALL.get(task, (config.resize,)):
        raise SpecError(f"dataset.resize {config.resize!r} cuts what is annotated: task {task!r} takes squash or pad.")
    listing = read(source, config, task=task)
    for note in listing.notes:
        log.info("%s", note)
    scratch = folder / "scratch.npy"
    cache = fill_cache(listing.root, listing.items, config, scratch=scratch, image_size=image_size, on_image=on_image)
    settled = SETTLE[task](listing, cache, config)
    _check_broken(source, settled.broken, len(listing.items) + len(listing.broken), config.max_broken)
    JUDGE[task](source, settled, config)
    images, copies = drop_copies(settled.images, task=task)
    groups = look_alikes([image.hash for image in images], distance=config.near_distance)
    splits = split_images(images, groups if config.group_near_duplicates else [], config.split, task=task)
    placed = [Placed(image, split) for image, split in zip(images, splits, strict=True)]
    alike = [[placed[index] for index in group] for group in groups]
    _tell_of_crossings(alike)

    rows = sorted(placed, key=lambda row: (SPLITS.index(row.split), row.image.sha256))
    about = {"task": task, "image_size": image_size, "resize": config.resize, **settled.facts}
    write_dataset(folder, rows, cache, settled, about)
    write_findings(folder, settled, copies, alike)
    scratch.unlink()
    return {
        "images": {split: count for split in SPLITS if (count := splits.count(split))},
        "broken": len(settled.broken),
        "copies": sum(len(same.dropped) for same in copies),
        "near_duplicate_groups": len(alike),
        **settled.facts,
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


def _tell_of_crossings(groups: Sequence[Sequence[Placed]]) -> None:
    crossing = sum(len({row.split for row in group}) > 1 for group in groups)
    if crossing:
        log.info(
            "%d of %d groups of images that look alike lie in several splits (duplicates.json lists them); "
            "dataset.group_near_duplicates=true keeps each in one.",
            crossing,
            len(groups),
        )
