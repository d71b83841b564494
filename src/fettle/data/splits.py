"""Stratified splits by content: an image's split depends on its pixels and the seed, not on its name or place."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fettle.spec import SplitConfig

# The order in which they are filled; train takes the rest.
CARVED = ("test", "val", "calib")


@dataclass(frozen=True)
class Unit:
    """Images that must share a split: one, or a group of near-duplicates."""

    digests: tuple[str, ...]
    label: int

    def key(self, seed: int) -> str:
        return hashlib.sha256(f"{seed}:{min(self.digests)}".encode()).hexdigest()


def assign(units: Sequence[Unit], shares: dict[str, float], *, seed: int) -> list[str]:
    """Return the split of each unit.

    Within a class, units in the order of a keyed hash fill ``test``, then ``val``, then ``calib`` up to their share;
    the rest trains. So the shares hold to within one image in each class, and one image more in the data moves at
    most one image over each border.
    """
    splits = ["train"] * len(units)
    by_label = defaultdict(list)
    for index, unit in enumerate(units):
        by_label[unit.label].append(index)
    for indices in by_label.values():
        total = sum(len(units[index].digests) for index in indices)
        room = {split: max(1, round(share * total)) for split, share in shares.items() if share}
        for index in sorted(indices, key=lambda index: units[index].key(seed)):
            size = len(units[index].digests)
            split = next((split for split in CARVED if room.get(split, 0) >= size), "train")
            splits[index] = split
            if split != "train":
                room[split] -= size
    return splits


def shares_of(config: SplitConfig, taken: set[str]) -> dict[str, float]:
    """Return the shares of the splits that the source does not fix itself."""
    return {split: getattr(config, split) for split in CARVED if split not in taken}
