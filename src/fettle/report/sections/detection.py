"""How good detectors are: average precision, the operating point, the confusions."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from fettle.evaluate import words
from fettle.evaluate.detection import DetectionMetrics
from fettle.evaluate.intervals import Interval
from fettle.evaluate.results import Validation
from fettle.report import detection_plots
from fettle.report.confusion import confusions
from fettle.spec.recipes import BASELINE


def quality(contrasted: Mapping[str, Validation], everyone: Mapping[str, Validation]) -> dict[str, Any]:
    """Tell average precision with intervals, the operating point of every candidate, and the confusions."""
    classes = (*next(iter(contrasted.values())).classes, "background")
    metrics = {name: _metrics(validation) for name, validation in contrasted.items()}
    thresholds = {name: validation.thresholds for name, validation in contrasted.items()}
    return {
        "classes": classes,
        "models": {
            name: {
                "metrics": found,
                "intervals": {key: _interval(interval) for key, interval in found.intervals.items()},
                **confusions(np.array(found.confusion), classes),
            }
            for name, found in metrics.items()
        },
        "precision_recall": detection_plots.precision_recall(metrics),
        "f1": detection_plots.f1_over_confidence(metrics, thresholds),
        "operating": [_operating_point(each, everyone) for each in everyone.values()],
    }


def _operating_point(validation: Validation, everyone: Mapping[str, Validation]) -> dict[str, Any]:
    """Tell how far the confidence moved: from the export's, and from the baseline's in the same runtime."""
    baseline = everyone.get(f"{BASELINE}-{validation.runtime}", validation)
    confidence = validation.thresholds["confidence"]
    return {
        "name": validation.candidate,
        "exported": validation.exported["confidence"],
        "confidence": confidence,
        "moved": None if baseline is validation else confidence - baseline.thresholds["confidence"],
        "metrics": _metrics(validation),
        "val": validation.val,
    }


def _metrics(validation: Validation) -> DetectionMetrics:
    return cast(DetectionMetrics, validation.test)


def _interval(interval: Interval) -> str:
    return f"{words.percent(interval.low)} to {words.percent(interval.high)}"
