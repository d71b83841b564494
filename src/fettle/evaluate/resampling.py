"""Average precision under resampling of the images: how sure a detector's score is.

A resample of N images with replacement is a weight for each image, how often it was drawn. COCO's matches are of one
image at a time, and so stay as they are: only what is counted along the precision-recall curve is weighted. Between two
hits precision only falls, and recall stays, so that it is enough to count at the hits.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fettle.evaluate.detections import Detections

RESAMPLES = 1000
RECALLS = np.linspace(0.0, 1.00, 101)  # COCO's


@dataclass(frozen=True)
class ResampledPrecision:
    """Average precision in R resamples; NaN where a resample holds no object.

    Attributes:
        by_class: (R, C) at IoU .5.
        map50: (R,) mean over the classes that a resample holds.
        map50_95: (R,) the same, and over IoU .5, .55, ... .95.
    """

    by_class: np.ndarray
    map50: np.ndarray
    map50_95: np.ndarray


def resample(detections: Detections, weights: np.ndarray) -> ResampledPrecision:
    """Return average precision by weighted images.

    Args:
        detections: Of N images.
        weights: (R, N) float32 whole numbers; a row of ones gives COCO's own numbers.
    """
    curves = np.stack([_class_precision(detections, label, weights) for label in range(detections.classes)], axis=2)
    return ResampledPrecision(curves[0], _mean(curves[0], axis=1), _mean(curves, axis=(0, 2)))


@lru_cache(maxsize=4)
def draws(images: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Return (R, N) float32: how often each image is drawn. The same for all candidates, which makes them paired."""
    shares = np.full(images, 1 / images)
    return np.random.default_rng(seed).multinomial(images, shares, size=resamples).astype(np.float32)


def _class_precision(detections: Detections, label: int, weights: np.ndarray) -> np.ndarray:
    """Return (T, R) average precision of a class at every IoU."""
    images, columns = np.nonzero(detections.labels == label)
    order = np.argsort(-detections.scores[images, columns], kind="stable")  # as COCO's evaluator breaks ties
    images, columns = images[order], columns[order]
    owners = np.repeat(np.arange(len(detections.truth)), detections.truth.counts)
    objects = np.bincount(owners[detections.truth.labels == label], minlength=len(detections.truth))
    totals = weights @ objects.astype(np.float32)
    hits = detections.matches.matched[:, images, columns] >= 0
    return np.stack([_average_precision(images, row, totals, weights) for row in hits])


def _average_precision(images: np.ndarray, hits: np.ndarray, totals: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (R,) average precision.

    Args:
        images: (D,) image of each detection, by falling score.
        hits: (D,) bool: which are right.
        totals: (R,) objects.
        weights: (R, N).
    """
    places, misses = np.flatnonzero(hits), np.flatnonzero(~hits)
    ahead = np.zeros((weights.shape[1], len(places) + 1), np.float32)
    np.add.at(ahead, (images[misses], np.searchsorted(places, misses)), 1)  # false alarms of an image before each hit
    false = (weights @ ahead[:, :-1].cumsum(axis=1)).astype(np.float64)
    true = weights[:, images[places]].cumsum(axis=1, dtype=np.float64)
    precision = true / (false + true + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.pad(envelope, ((0, 0), (0, 1)))  # recall that is not reached
    recall = true / np.maximum(totals, 1)[:, None]
    reached = np.stack([np.searchsorted(row, RECALLS) for row in recall])
    found = np.take_along_axis(envelope, reached, axis=1).mean(axis=1)
    return np.where(totals > 0, found, np.nan)


def _mean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Mean over what is not NaN; NaN if nothing is."""
    there = ~np.isnan(values)
    count = there.sum(axis=axis)
    return np.where(count > 0, np.where(there, values, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)
