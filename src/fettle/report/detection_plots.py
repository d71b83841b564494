"""The plots of detectors."""

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from fettle.evaluate.detection import DetectionMetrics
from fettle.evaluate.predictions import Thresholds
from fettle.report.figure import MUTED, SERIES, axes, style, svg

MOST_CLASSES = 12  # whose own curves are drawn, thin


def precision_recall(metrics: Mapping[str, DetectionMetrics]) -> Markup:
    """Precision over recall at IoU .5, the mean of the classes; of the last model each class too."""
    with style():
        plot = axes()
        *_, last = metrics.values()
        for each in last.per_class[:MOST_CLASSES]:
            if each.curve:
                plot.plot(np.linspace(0, 1, len(each.curve)), each.curve, color=MUTED, linewidth=0.7, alpha=0.6)
        for colour, (name, found) in zip(SERIES, metrics.items(), strict=False):
            recalls = np.linspace(0, 1, len(found.precision_curve))
            plot.plot(recalls, found.precision_curve, color=colour, label=f"{name}: mAP50 {found.map50 or 0:.1%}")
        plot.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.04))
        plot.legend(loc="lower left")
        return svg(plot, label="Precision over recall at IoU .5")


def f1_over_confidence(metrics: Mapping[str, DetectionMetrics], thresholds: Mapping[str, Thresholds]) -> Markup:
    """F1 over the confidence; a line down at the one that each model is served with."""
    with style():
        plot = axes()
        for colour, (name, found) in zip(SERIES, metrics.items(), strict=False):
            confidence = thresholds[name]["confidence"]
            plot.plot(np.linspace(0, 1, len(found.f1_curve)), found.f1_curve, color=colour, label=name)
            plot.plot([confidence] * 2, [0, found.f1 or 0.0], color=colour, linewidth=1, linestyle="--")
        plot.set(xlabel="confidence", ylabel="F1 at IoU .5", xlim=(0, 1.02), ylim=(0, 1.04))
        plot.legend(loc="upper right")
        return svg(plot, label="F1 over confidence, with the confidence that is served")
