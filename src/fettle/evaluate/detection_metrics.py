"""From detections beside the truth to the metrics of a detector."""

from collections.abc import Mapping, Sequence

import numpy as np

from fettle.data.average_precision import IOU_50, mean
from fettle.evaluate.confusion import confusion_matrix
from fettle.evaluate.detection import ClassDetections, DetectionMetrics, SizeDetections
from fettle.evaluate.detections import Detections
from fettle.evaluate.intervals import Interval, tails
from fettle.evaluate.operating_point import curve, f1, f1_curve
from fettle.evaluate.predictions import Thresholds
from fettle.evaluate.resampling import draws, resample

# COCO's, in pixels of the original; both ends count.
AREAS: Mapping[str, tuple[float, float]] = {
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, float("inf")),
}
CURVE_STEP = 5  # of the 101 recalls, for the classes' own curves
CONFIDENCE = 0.95


def detection_metrics(detections: Detections, thresholds: Thresholds, classes: Sequence[str]) -> DetectionMetrics:
    """Return the metrics of a detector.

    Args:
        detections: The full curve on N >= 1 images.
        thresholds: Those that it is served with.
        classes: The C names.
    """
    matches, answered = detections.matches, detections.answered(thresholds)
    right, objects = int((matches.hits & answered).sum()), len(detections.truth.labels)
    points = curve(detections, max_detections=int(thresholds["max_detections"]))
    return DetectionMetrics(
        count=len(detections.truth),
        objects=objects,
        answered=int(answered.sum()),
        map50=defined(matches.map50),
        map50_95=defined(matches.map50_95),
        intervals=_intervals(detections),
        precision=_share(right, int(answered.sum())),
        recall=_share(right, objects),
        f1=f1(int(answered.sum()), right, objects),
        per_class=tuple(_class(detections, answered, label, name) for label, name in enumerate(classes)),
        by_size={name: _size(detections, name) for name in AREAS},
        confusion=tuple(tuple(map(int, row)) for row in confusion_matrix(detections, thresholds)),
        precision_curve=_mean_curve(matches.precision),
        f1_curve=f1_curve(points),
    )


def defined(value: float) -> float | None:
    """Return ``None`` for what is not a number."""
    return None if np.isnan(value) else float(value)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _intervals(detections: Detections) -> dict[str, Interval]:
    matches, resampled = detections.matches, resample(detections, draws(len(detections.truth)))
    if np.isnan(matches.map50):
        return {}
    pairs = {name: (getattr(matches, name), getattr(resampled, name)) for name in ("map50", "map50_95")}
    return {name: percentiles(estimate, samples, CONFIDENCE) for name, (estimate, samples) in pairs.items()}


def percentiles(estimate: float, samples: np.ndarray, confidence: float) -> Interval:
    """Return the percentile bootstrap interval of resamples, those without an object left out."""
    low, high = np.nanquantile(samples, tails(confidence))
    return Interval(float(estimate), float(low), float(high), confidence)


def _class(detections: Detections, answered: np.ndarray, label: int, name: str) -> ClassDetections:
    matches, support = detections.matches, int((detections.truth.labels == label).sum())
    given = answered & (detections.labels == label)
    right = int((matches.hits & given).sum())
    points = matches.precision[label, ::CURVE_STEP] if support else ()
    return ClassDetections(
        name=name,
        support=support,
        ap50=defined(matches.ap[IOU_50, label]),
        ap50_95=defined(matches.ap[:, label].mean()),
        precision=_share(right, int(given.sum())),
        recall=_share(right, support),
        curve=tuple(round(float(point), 4) for point in points),
    )


def _size(detections: Detections, name: str) -> SizeDetections:
    low, high = AREAS[name]
    areas, ap = detections.truth.areas, detections.matches.ap_by_size[name]
    return SizeDetections(int(((areas >= low) & (areas <= high)).sum()), defined(mean(ap[IOU_50])), defined(mean(ap)))


def _mean_curve(precision: np.ndarray) -> tuple[float, ...]:
    """Return the mean over the classes that occur; empty where none does."""
    there = precision[~np.isnan(precision).any(axis=1)]
    return tuple(round(float(point), 4) for point in there.mean(axis=0)) if len(there) else ()
