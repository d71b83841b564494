"""Boxes that lie over each other."""

import numpy as np


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return intersection over union, (M, L) float64, of (M, 4) and (L, 4) xyxy; 0 for boxes without area."""
    first, second = boxes[:, None].astype(np.float64), others[None].astype(np.float64)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = sides.clip(0).prod(axis=2)
    areas = (first[..., 2:] - first[..., :2]).prod(axis=2) + (second[..., 2:] - second[..., :2]).prod(axis=2)
    return np.asarray(shared / np.maximum(areas - shared, np.finfo(np.float64).tiny))


def pair(overlaps: np.ndarray, *, least: float) -> list[tuple[int, int]]:
    """Return (row, column) pairs of the (M, L) overlaps: row by row, each takes the best column that is free."""
    free, pairs = np.ones(overlaps.shape[1], bool), []
    for row, values in enumerate(overlaps):
        column = int(np.argmax(np.where(free, values, -1.0))) if free.any() else -1
        if column >= 0 and values[column] >= least:
            free[column] = False
            pairs.append((row, column))
    return pairs
