"""Duplicates: the same pixels twice, and pictures that look alike."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fettle.data.cache import Decoded
from fettle.errors import DataError

# Of copies in several splits of the source, the first of these is kept: training must give way to the test.
KEEP = ("test", "val", "calib", "train", None)
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Copies:
    """Images with the same pixels: one is kept, the others are left out."""

    kept: Decoded
    dropped: tuple[Decoded, ...]


def drop_copies(images: Sequence[Decoded]) -> tuple[list[Decoded], list[Copies]]:
    """Keep one of the images that have the same pixels.

    Raises:
        DataError: If the same pixels have two labels.
    """
    by_content = defaultdict(list)
    for image in images:
        by_content[image.sha256].append(image)
    for same in by_content.values():
        same.sort(key=lambda image: (KEEP.index(image.item.split), image.item.path))
    _check_labels(list(by_content.values()))
    copies = [Copies(same[0], tuple(same[1:])) for same in by_content.values() if len(same) > 1]
    return [same[0] for same in by_content.values()], copies


def _check_labels(contents: Sequence[Sequence[Decoded]]) -> None:
    conflicts = [same for same in contents if len({image.item.label for image in same}) > 1]
    if conflicts:
        first = conflicts[0][0].item
        other = next(image.item for image in conflicts[0] if image.item.label != first.label)
        raise DataError(
            f"The same image has two labels: {first.path!r} is {first.label!r} and {other.path!r} is {other.label!r}"
            f" ({len(conflicts)} such images in all). Remove or relabel one of each."
        )


def look_alikes(hashes: Sequence[int], *, distance: int) -> list[list[int]]:
    """Group images whose perceptual hashes are near, directly or through others.

    Equal hashes are merged first; then all pairs are compared by XOR and population count, which takes about a
    second for 20,000 images.

    Args:
        hashes: 64-bit perceptual hashes.
        distance: Largest Hamming distance that counts as near.

    Returns:
        Groups of two or more indices, in order of their first.
    """
    unique, inverse = np.unique(np.array(hashes, dtype=np.uint64), return_inverse=True)
    component = _components(unique, distance)[inverse]
    groups = defaultdict(list)
    for index, number in enumerate(component.tolist()):
        groups[number].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _components(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int32]:
    """Label the connected components of the graph whose edges are near pairs."""
    count = len(hashes)
    edges = []
    for start in range(0, count, ROWS_AT_ONCE):
        rows = hashes[start : start + ROWS_AT_ONCE, None]
        near = np.bitwise_count(rows ^ hashes[None, start:]) <= distance
        edges.append(np.argwhere(near) + start)
    row, column = np.concatenate(edges).T if edges else np.empty((2, 0), int)
    graph = coo_array((np.ones(len(row), bool), (row, column)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])
