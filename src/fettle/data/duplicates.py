"""Duplicates: the same pixels twice, and pictures that look alike."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fettle.data.cache import Decoded
from fettle.errors import DataError

log = logging.getLogger("fettle")

# Of copies in several splits of the source, the first of these is kept: training must give way to the test.
KEEP = ("test", "val", "calib", "train", None)
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Copies:
    """Images with the same pixels: one is kept, the others are left out."""

    kept: Decoded
    dropped: tuple[Decoded, ...]

    @property
    def differing(self) -> tuple[Decoded, ...]:
        """Those left out that hold other classes, or other numbers of them, than the one that is kept."""
        return tuple(one for one in self.dropped if sorted(one.labels) != sorted(self.kept.labels))


def drop_copies(images: Sequence[Decoded], *, task: str = "classify") -> tuple[list[Decoded], list[Copies]]:
    """Keep one of the images that have the same pixels: of those of the split that goes first, the one with the most
    objects, then the first by name.

    Raises:
        DataError: If the same pixels have two labels, and images have labels.
    """
    by_content = defaultdict(list)
    for image in images:
        by_content[image.sha256].append(image)
    for same in by_content.values():
        same.sort(key=lambda image: (KEEP.index(image.item.split), -len(image.labels), image.item.path))
    copies = [Copies(same[0], tuple(same[1:])) for same in by_content.values() if len(same) > 1]
    if conflicts := [same for same in copies if same.differing]:
        ON_CONFLICT[task](conflicts)
    return [same[0] for same in by_content.values()], copies


def _refuse_labels(conflicts: Sequence[Copies]) -> None:
    first, other = conflicts[0].kept.item, conflicts[0].differing[0].item
    raise DataError(
        f"The same image has two labels: {first.path!r} is {first.label!r} and {other.path!r} is {other.label!r}"
        f" ({len(conflicts)} such images in all). Remove or relabel one of each."
    )


def _tell_of_boxes(conflicts: Sequence[Copies]) -> None:
    first, other = conflicts[0].kept, conflicts[0].differing[0]
    log.warning(
        "%d images come several times with other objects, such as %r with %d and %r with %d: the first is kept "
        "(duplicates.json lists all).",
        len(conflicts), first.item.path, len(first.labels), other.item.path, len(other.labels),
    )  # fmt: skip


# Who draws boxes twice draws them differently; a label is the same or wrong.
ON_CONFLICT: Mapping[str, Callable[[Sequence[Copies]], None]] = {
    "classify": _refuse_labels,
    "embed": _refuse_labels,
    "detect": _tell_of_boxes,
}


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
