"""A detector's outcome: average precision, compared with another's over the same resampled images."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from fettle.data.average_precision import IOU_50
from fettle.evaluate.detection_metrics import percentiles
from fettle.evaluate.detections import Detections
from fettle.evaluate.intervals import PairedDifference, resampled_difference
from fettle.evaluate.outcomes import Score
from fettle.evaluate.predictions import Thresholds
from fettle.evaluate.resampling import ResampledPrecision, draws, resample


@dataclass(frozen=True)
class BoxOutcome:
    """Detections, and the thresholds at which objects count as gained or lost."""

    class_measure: ClassVar[str] = "AP50"
    detections: Detections
    thresholds: Thresholds

    @cached_property
    def resampled(self) -> ResampledPrecision:
        return resample(self.detections, draws(len(self.detections.truth)))

    @cached_property
    def found(self) -> np.ndarray:
        """(M,) bool: true boxes that the served file finds."""
        return self.detections.found(self.thresholds)

    def scores(self, *, confidence: float) -> Mapping[str, Score]:
        interval = percentiles(self.detections.matches.map50, self.resampled.map50, confidence)
        truth = self.detections.truth
        return {"map50": Score(interval, f"over {len(truth.labels)} objects in {len(truth)} images")}

    def class_score(self, label: int, *, confidence: float) -> Score | None:
        support = int(self._of_class(label).sum())
        if not support:
            return None
        samples = self.resampled.by_class[:, label]
        return Score(percentiles(self._ap50(label), samples, confidence), f"over {support} objects")

    def against(self, baseline: Self, *, max_drop: float, confidence: float) -> Mapping[str, PairedDifference]:
        return {
            name: resampled_difference(
                getattr(self.detections.matches, name) - getattr(baseline.detections.matches, name),
                getattr(self.resampled, name) - getattr(baseline.resampled, name),
                gained=self.found & ~baseline.found,
                lost=baseline.found & ~self.found,
                max_drop=max_drop,
                confidence=confidence,
            )
            for name in ("map50", "map50_95")
        }

    def class_against(self, baseline: Self, label: int, *, confidence: float) -> PairedDifference:
        rows = self._of_class(label)
        return resampled_difference(
            self._ap50(label) - baseline._ap50(label),
            self.resampled.by_class[:, label] - baseline.resampled.by_class[:, label],
            gained=(self.found & ~baseline.found)[rows],
            lost=(baseline.found & ~self.found)[rows],
            max_drop=0.0,
            confidence=confidence,
        )

    def _of_class(self, label: int) -> np.ndarray:
        return np.asarray(self.detections.truth.labels == label)

    def _ap50(self, label: int) -> float:
        return float(self.detections.matches.ap[IOU_50, label])
