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
    grouped = {index for group in groups for index in group}
    members = [list(group) for group in groups] + [[index] for index in range(len(images)) if index not in grouped]
    units = [Unit(tuple(images[index] for index in group)) for group in members]
    fixed = [unit.fixed for unit in units]
    shares = {split: getattr(config, split) for split in CARVED if split not in fixed}
    free = [unit for unit, split in zip(units, fixed, strict=True) if split in (None, "train")]
    carved = dict(zip(map(id, free), carve(free, shares, seed=config.seed), strict=True))
    splits = [""] * len(images)
    for unit, group in zip(units, members, strict=True):
        for index in group:
            splits[index] = carved.get(id(unit)) or unit.fixed or "train"
    check_presence(images, splits, wanted=[split for split in SPLITS if split in splits or shares.get(split)])
    return splits


def carve(units: Sequence[Unit], shares: Mapping[str, float], *, seed: int) -> list[str]:
    """Return the split of each unit, stratified by label.

    Within a class, units in the order of a keyed hash of their content fill ``test``, then ``val``, then ``calib`` up
    to their share of the images, one at least; the rest trains. The shares hold to within one image in each class, and
    one image more in the data moves at most one image over each border.
    """
    splits = ["train"] * len(units)
    by_label = defaultdict(list)
    for index, unit in enumerate(units):
        by_label[unit.label].append(index)
    for indices in by_label.values():
        total = sum(len(units[index].images) for index in indices)
        room = {split: max(1, round(share * total)) for split, share in shares.items() if share}
        for index in sorted(indices, key=lambda index: units[index].key(seed)):
            size = len(units[index].images)
            splits[index] = next((split for split in CARVED if room.get(split, 0) >= size), "train")
            if splits[index] != "train":
                room[splits[index]] -= size
    return splits


def check_presence(images: Sequence[Decoded], splits: Sequence[str], *, wanted: Sequence[str]) -> None:
    """Every class must be in every split that is made here; the source's own splits may lack one, but for ``train``."""
    present = {(image.item.label, split) for image, split in zip(images, splits, strict=True)}
    ours = {split for image, split in zip(images, splits, strict=True) if image.item.split in (None, "train")}
    counts = Counter(image.item.label for image in images)
    for label, count in sorted(counts.items()):
        missing = [split for split in wanted if (label, split) not in present]
        if "train" in missing or ours & set(missing) or count < len(wanted):
            raise DataError(
                f"Class {label!r} has {count} distinct image(s), too few to be in each of {', '.join(wanted)} "
                f"(none left for {', '.join(missing) or 'training'}). Add images, remove the class, or make fewer "
                f"splits (dataset.split.calib=0)."
            )
        if missing:
            log.warning("Class %r has no image in the source's own %s.", label, ", ".join(missing))
