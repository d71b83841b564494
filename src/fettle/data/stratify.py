"""Splits of images that hold several classes each: iterative stratification."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

BACKGROUND = ""  # images without an object are spread as if that were a class


def stratify(held: Sequence[Counter[str]], sizes: Sequence[int], shares: Mapping[str, float]) -> list[str]:
    """Return a split for each unit of images, so that every class is spread as the images are.

    The class with the fewest images that are not placed yet goes first; each of its units goes where that class lacks
    most, then where images lack most (Sechidis, Tsoumakas and Vlahavas 2011). What is drawn there by lot is decided
    here by the order of the units and of the splits.

    Args:
        held: For each unit, the number of its images that hold each class.
        sizes: Images of each unit.
        shares: Share of the images by split; ``train`` takes the rest, and what a class has few of goes there first.
    """
    held = [classes or Counter({BACKGROUND: size}) for classes, size in zip(held, sizes, strict=True)]
    splits = ("train", *shares)
    share = np.array([1 - sum(shares.values()), *shares.values()])
    lacking = {name: _wanted(total, share) for name, total in sum(held, Counter[str]()).items()}
    lacking_images = share * sum(sizes)
    units = defaultdict(list)
    for unit, classes in enumerate(held):
        for name in classes:
            units[name].append(unit)
    left = {name: len(of_class) for name, of_class in units.items()}
    placed = [-1] * len(held)
    while left:
        rarest = min(left, key=lambda name: (left[name], name))
        for unit in units[rarest]:
            if placed[unit] < 0:
                placed[unit] = _place(lacking[rarest], lacking_images)
                lacking_images[placed[unit]] -= sizes[unit]
                for name, count in held[unit].items():
                    lacking[name][placed[unit]] -= count
                    left[name] -= 1
        del left[rarest]
    return [splits[index] for index in placed]


def _wanted(total: int, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many images of a class each split should get: one at least where there are enough for all."""
    wanted = share * total
    if total >= len(share):
        wanted[1:] = np.maximum(wanted[1:], 1)
        wanted[0] = total - wanted[1:].sum()
    return np.asarray(wanted)


def _place(lacking: NDArray[np.float64], lacking_images: NDArray[np.float64]) -> int:
    """Return the split that lacks most of the class; of several, the one that lacks most images, then the first."""
    return int(np.lexsort((-lacking_images, -lacking))[0])
