"""Stratified splits by content: an image's split depends on its pixels and the seed, not on its name or place."""

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fettle.data.cache import Decoded
from fettle.data.duplicates import KEEP
from fettle.errors import DataError
from fettle.spec import SPLITS, SplitConfig

log = logging.getLogger("fettle")

CARVED = ("test", "val", "calib")  # the order in which they are filled; train takes the rest


@dataclass(frozen=True)
class Unit:
    """Images that must share a split: one, or a group of look-alikes. Its label is the most frequent one."""

    images: tuple[Decoded, ...]

    @property
    def label(self) -> str:
        return Counter(image.item.label for image in self.images).most_common(1)[0][0]

    @property
    def fixed(self) -> str | None:
        """The split that the source gives it; where its images differ, training gives way to the test."""
        return min((image.item.split for image in self.images), key=KEEP.index)

    def key(self, seed: int) -> str:
        return hashlib.sha256(f"{seed}:{min(image.sha256 for image in self.images)}".encode()).hexdigest()


def split_images(images: Sequence[Decoded], groups: Sequence[Sequence[int]], config: SplitConfig) -> list[str]:
    """Return the split of each image.

    ``val``, ``test`` and ``calib`` that the source fixes stay as they are; those that it lacks are carved from what
    it calls ``train`` or does not assign.

    Args:
        images: Distinct images.
        groups: Indices of images that must share a split.
        config: Shares and seed.

    Raises:
        DataError: If a class has too few images to be in every split.
    """
    units = _units(images, groups)
    fixed = {image.sha256: unit.fixed for unit in units for image in unit.images if unit.fixed in CARVED}
    free = [unit for unit in units if unit.fixed not in CARVED]
    shares = {split: getattr(config, split) for split in CARVED if split not in fixed.values()}
    by_content = fixed | carve(free, shares, seed=config.seed)
    splits = [by_content[image.sha256] for image in images]
    made = {"train", *splits, *(split for split, share in shares.items() if share)}
    _check_presence(images, splits, wanted=[split for split in SPLITS if split in made])
    return splits


def _units(images: Sequence[Decoded], groups: Sequence[Sequence[int]]) -> list[Unit]:
    grouped = {index for group in groups for index in group}
    alone = [[index] for index in range(len(images)) if index not in grouped]
    return [Unit(tuple(images[index] for index in group)) for group in (*groups, *alone)]


def carve(units: Sequence[Unit], shares: Mapping[str, float], *, seed: int) -> dict[str, str]:
    """Return the split of each image by its digest, stratified by label.

    Within a class, units in the order of a keyed hash of their content fill ``test``, then ``val``, then ``calib`` up
    to their share of the images, one at least; the rest trains. The shares hold to within one image in each class, and
    one image more in the data moves at most one image over each border.
    """
    by_label = defaultdict(list)
    for unit in units:
        by_label[unit.label].append(unit)
    splits = {}
    for of_label in by_label.values():
        total = sum(len(unit.images) for unit in of_label)
        room = {split: max(1, round(share * total)) for split, share in shares.items() if share} | {"train": total}
        for unit in sorted(of_label, key=lambda unit: unit.key(seed)):
            size = len(unit.images)
            split = next(split for split in (*CARVED, "train") if room.get(split, 0) >= size)
            room[split] -= size
            splits.update({image.sha256: split for image in unit.images})
    return splits


def _check_presence(images: Sequence[Decoded], splits: Sequence[str], *, wanted: Sequence[str]) -> None:
    """Every class must be in every split that is made here; the source's own splits may lack one, but for ``train``."""
    present = {(image.item.label, split) for image, split in zip(images, splits, strict=True)}
    ours = {split for image, split in zip(images, splits, strict=True) if image.item.split in (None, "train")}
    counts = Counter(image.item.label for image in images)
    for label, count in sorted(counts.items()):
        missing = [split for split in wanted if (label, split) not in present]
        if "train" in missing or ours & set(missing):
            raise DataError(
                f"Class {label!r} has {count} distinct image(s), none of them in {', '.join(missing)}; it needs one in "
                f"each of {', '.join(wanted)}. Add images, remove the class, or make fewer splits "
                "(dataset.split.calib=0)."
            )
        if missing:
            log.warning("Class %r has no image in the source's own %s.", label, ", ".join(missing))
