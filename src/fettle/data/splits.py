"""Stratified splits by content: an image's split depends on its pixels and the seed, not on its name or place."""

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fettle.data.cache import Decoded
from fettle.data.duplicates import KEEP
from fettle.data.identities import carve_identities, check_identities
from fettle.data.stratify import stratify
from fettle.errors import DataError
from fettle.spec import SPLITS, SplitConfig

log = logging.getLogger("fettle")

CARVED = ("test", "val", "calib")  # the order in which they are filled; train takes the rest


@dataclass(frozen=True)
class Unit:
    """Images that must share a split: one, or a group of look-alikes."""

    images: tuple[Decoded, ...]

    @property
    def held(self) -> Counter[str]:
        """Images that hold each class."""
        return Counter(label for image in self.images for label in sorted(set(image.labels)))

    @property
    def fixed(self) -> str | None:
        """The split that the source gives it; where its images differ, training gives way to the test."""
        return min((image.item.split for image in self.images), key=KEEP.index)

    def key(self, seed: int) -> str:
        return hashlib.sha256(f"{seed}:{min(image.sha256 for image in self.images)}".encode()).hexdigest()


def split_images(
    images: Sequence[Decoded], groups: Sequence[Sequence[int]], config: SplitConfig, *, task: str = "classify"
) -> list[str]:
    """Return the split of each image.

    ``val``, ``test`` and ``calib`` that the source fixes stay as they are; those that it lacks are carved from what
    it calls ``train`` or does not assign. Without ``config.keep`` all are made anew.

    Args:
        images: Distinct images.
        groups: Indices of images that must share a split.
        config: Shares and seed.
        task: What the labels are for.

    Raises:
        DataError: If a class has too few images to be in every split, or a split has no object.
    """
    units = _units(images, groups)
    fixed: dict[str, str] = {}
    free: list[Unit] = []
    for unit in units:
        split = unit.fixed if config.keep else None
        if split in CARVED:
            fixed |= dict.fromkeys((image.sha256 for image in unit.images), split)
        else:
            free.append(unit)
    shares = {split: getattr(config, split) for split in CARVED if split not in fixed.values()}
    by_content = fixed | CARVE[task](free, shares, config)
    splits = [by_content[image.sha256] for image in images]
    made = {"train", *splits, *(split for split, share in shares.items() if share)}
    PRESENCE[task](images, splits, wanted=[split for split in SPLITS if split in made])
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
        by_label[unit.held.most_common(1)[0][0]].append(unit)
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


def carve_boxes(units: Sequence[Unit], shares: Mapping[str, float], *, seed: int) -> dict[str, str]:
    """Return the split of each image by its digest, stratified by all classes that it holds."""
    ordered = sorted(units, key=lambda unit: unit.key(seed))
    sizes = [len(unit.images) for unit in ordered]
    shares = {split: share for split, share in shares.items() if share}
    splits = stratify([unit.held for unit in ordered], sizes, shares)
    return {image.sha256: split for unit, split in zip(ordered, splits, strict=True) for image in unit.images}


def _need_every_class(images: Sequence[Decoded], splits: Sequence[str], *, wanted: Sequence[str]) -> None:
    """Every class must be in every split that is made here; the source's own splits may lack one, but for ``train``."""
    ours = {split for image, split in zip(images, splits, strict=True) if image.item.split in (None, "train")}
    for label, (count, missing) in _absences(images, splits, wanted).items():
        if "train" in missing or ours & set(missing):
            raise DataError(
                f"Class {label!r} has {count} distinct image(s), none of them in {', '.join(missing)}; it needs one in "
                f"each of {', '.join(wanted)}. Add images, remove the class, or make fewer splits "
                "(dataset.split.calib=0)."
            )
        if missing:
            log.warning("Class %r has no image in the source's own %s.", label, ", ".join(missing))


def _need_objects(images: Sequence[Decoded], splits: Sequence[str], *, wanted: Sequence[str]) -> None:
    """Every split must hold an object; which classes it lacks is said, for their precision cannot be measured."""
    empty = set(wanted) - {split for image, split in zip(images, splits, strict=True) if image.labels}
    if empty:
        raise DataError(
            f"No image in {', '.join(sorted(empty))} holds an object: add annotated images, or let Fettle make that "
            "split, by giving the source none."
        )
    for label, (count, missing) in _absences(images, splits, wanted).items():
        if missing:
            log.warning("Class %r, on %d images, is on none in %s.", label, count, ", ".join(missing))


def _absences(
    images: Sequence[Decoded], splits: Sequence[str], wanted: Sequence[str]
) -> dict[str, tuple[int, list[str]]]:
    """Return for each class its images, and the splits that have none of them."""
    present = {(label, split) for image, split in zip(images, splits, strict=True) for label in image.labels}
    counts = Counter(label for image in images for label in set(image.labels))
    return {
        label: (count, [split for split in wanted if (label, split) not in present])
        for label, count in sorted(counts.items())
    }


def _by_identity(units: Sequence[Unit], shares: Mapping[str, float], config: SplitConfig) -> dict[str, str]:
    return carve_identities([image for unit in units for image in unit.images], shares, config)


Carve = Callable[[Sequence[Unit], Mapping[str, float], SplitConfig], dict[str, str]]
CARVE: Mapping[str, Carve] = {
    "classify": lambda units, shares, config: carve(units, shares, seed=config.seed),
    "detect": lambda units, shares, config: carve_boxes(units, shares, seed=config.seed),
    "embed": _by_identity,
}
PRESENCE: Mapping[str, Callable[..., None]] = {
    "classify": _need_every_class,
    "detect": _need_objects,
    "embed": check_identities,
}
