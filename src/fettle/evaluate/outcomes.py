"""What a candidate made of the test images, in a form that is compared with another's image by image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np

from fettle.evaluate.intervals import Interval, PairedDifference, paired_difference, share_interval


@dataclass(frozen=True)
class Score:
    """A score with how sure it is, and on what it rests, such as ``70 of 100 images``."""

    interval: Interval
    basis: str


class Outcome(Protocol):
    """One candidate's answers beside the truth. Both of a comparison are of the same images.

    Attributes:
        class_measure: What a single class is scored by, in words.
    """

    class_measure: ClassVar[str]

    def scores(self, *, confidence: float) -> Mapping[str, Score]:
        """Return the scores by measure, the headline first."""
        ...

    def class_score(self, label: int, *, confidence: float) -> Score | None:
        """Return the score of a class, ``None`` where the images hold none of it."""
        ...

    def against(self, baseline: Self, *, max_drop: float, confidence: float) -> Mapping[str, PairedDifference]:
        """Return the paired differences by measure, that of the headline first."""
        ...

    def class_against(self, baseline: Self, label: int, *, confidence: float) -> PairedDifference:
        """Return the paired difference of a class's score; the images must hold some of it."""
        ...


@dataclass(frozen=True)
class ImageOutcome:
    """A classifier's: an image is right or wrong.

    Attributes:
        correct: (N,) bool: where the most probable class is the true one.
        labels: (N,) the true classes.
    """

    class_measure: ClassVar[str] = "recall"
    correct: np.ndarray
    labels: np.ndarray

    def scores(self, *, confidence: float) -> Mapping[str, Score]:
        return {"accuracy": _share(self.correct, confidence)}

    def class_score(self, label: int, *, confidence: float) -> Score | None:
        rows = self.labels == label
        return _share(self.correct[rows], confidence) if rows.any() else None

    def against(self, baseline: Self, *, max_drop: float, confidence: float) -> Mapping[str, PairedDifference]:
        return {"accuracy": paired_difference(self.correct, baseline.correct, max_drop=max_drop, confidence=confidence)}

    def class_against(self, baseline: Self, label: int, *, confidence: float) -> PairedDifference:
        rows = self.labels == label
        return paired_difference(self.correct[rows], baseline.correct[rows], confidence=confidence)


def _share(correct: np.ndarray, confidence: float) -> Score:
    right, count = int(correct.sum()), len(correct)
    return Score(share_interval(right, count, confidence=confidence), f"{right} of {count} images")
