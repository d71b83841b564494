"""A confusion matrix for the page: the counts, or the most frequent confusions where there are many classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_CLASSES = 12  # that can be read; of more, the most frequent confusions are listed
MOST_LISTED = 10


def confusions(counts: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """Return what ``matrix.html.j2`` shows.

    Args:
        counts: (C, C) true by predicted.
        classes: The C names.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    off = [(int(counts[i, j]), classes[i], classes[j]) for i, j in np.argwhere(counts) if i != j]
    return {
        "matrix": counts.tolist() if len(classes) <= MOST_CLASSES else None,
        "shares": shares.tolist(),
        "confusions": sorted(off, reverse=True)[:MOST_LISTED],
    }
