"""The operating point of a detector: the confidence where its F1 is highest, and what it is worth there."""

import logging
from dataclasses import dataclass

import numpy as np

from fettle.evaluate.detections import Detections
from fettle.evaluate.predictions import Thresholds

log = logging.getLogger("fettle")
LEAST = 0.001  # the lowest confidence that a full curve tells of
GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Curve:
    """Precision and recall over all classes at IoU .5, as the confidence falls.

    Attributes:
        scores: (D,) of the detections that the number of detections lets pass, falling.
        hits: (D,) how many of those up to here are right.
        objects: True boxes.
    """

    scores: np.ndarray
    hits: np.ndarray
    objects: int

    @property
    def f1(self) -> np.ndarray:
        """(D,) F1 of what is answered up to each detection."""
        return np.asarray(2 * self.hits / (np.arange(1, len(self.hits) + 1) + self.objects))

    def at(self, confidence: float) -> tuple[int, int]:
        """Return how many detections are answered, and how many of them are right."""
        answered = int(np.searchsorted(-self.scores, -np.float32(confidence), side="right"))
        return answered, int(self.hits[answered - 1]) if answered else 0


def curve(detections: Detections, *, max_detections: int) -> Curve:
    """Return the curve of a detector that answers ``max_detections`` an image at most."""
    passing = detections.answered({"confidence": 0.0, "max_detections": max_detections})
    scores, hits = detections.scores[passing], detections.matches.hits[passing]
    order = np.argsort(-scores, kind="stable")
    return Curve(scores[order], np.cumsum(hits[order]), len(detections.truth.labels))


def fit_confidence(detections: Detections, thresholds: Thresholds) -> Thresholds:
    """Move ``confidence`` to where F1 at IoU .5 over all classes is highest.

    It comes to lie midway between the last score that is answered and the next that is not, so that what rounds
    otherwise answers the same. Where nothing is right, or there is no object, it stays.

    Args:
        detections: Of the val split.
        thresholds: Those of the export.
    """
    found = curve(detections, max_detections=int(thresholds["max_detections"]))
    if not found.objects or not len(found.hits) or not found.hits[-1]:
        log.warning("no detection on val is right: the confidence stays at %.3g", thresholds["confidence"])
        return thresholds
    last_of_equals = np.append(found.scores[1:] < found.scores[:-1], True)  # no threshold parts equal scores
    best = int(np.argmax(np.where(last_of_equals, found.f1, -1.0)))
    below = found.scores[best + 1] if best + 1 < len(found.scores) else LEAST
    confidence = (float(found.scores[best]) + float(below)) / 2
    return {**thresholds, "confidence": float(np.clip(confidence, LEAST, 0.999))}


def f1_curve(found: Curve) -> tuple[float, ...]:
    """Return F1 at confidence 0, .01, ... 1."""
    counts = [found.at(confidence) for confidence in GRID]
    return tuple(f1(answered, right, found.objects) or 0.0 for answered, right in counts)


def f1(answered: int, right: int, objects: int) -> float | None:
    """Return the harmonic mean of precision and recall; ``None`` without objects."""
    return 2 * right / (answered + objects) if objects else None
