"""What a page shows of a classifier beside its scores: the confusion matrix and the ROC curve."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fettle.evaluate import results
from fettle.evaluate.classification import ClassificationMetrics
from fettle.evaluate.predictions import read_predictions

POINTS = 101  # of a curve: what a page can show
Curve = tuple[list[float], list[float], list[float]]


@dataclass(frozen=True)
class Curves:
    """Of the test split; empty for a task that has none.

    Attributes:
        classes: Names.
        confusion: ``confusion[i][j]`` counts images of class i that were taken for class j.
        roc: False positive rates, true positive rates and the thresholds of the second of two classes.
    """

    classes: list[str]
    confusion: list[list[int]]
    roc: Curve | None


def read_curves(validation: Path) -> Curves:
    """Return the curves of a ``validation`` artifact.

    Raises:
        ArtifactError: If its files cannot be read.
    """
    found = results.load(validation / results.METRICS, results.Validation)
    if not isinstance(found.test, ClassificationMetrics):
        return Curves([], [], None)
    arrays = read_predictions(validation)
    roc = None
    if len(found.classes) == 2 and found.test.auroc is not None:
        roc = roc_curve(arrays["probabilities"][:, 1], arrays["truth_labels"] == 1)
    return Curves(list(found.classes), [list(row) for row in found.test.confusion], roc)


def roc_curve(scores: np.ndarray, truth: np.ndarray) -> Curve:
    """Return a ROC curve of at most :data:`POINTS` points, its ends among them.

    Args:
        scores: (N,) float, the higher the likelier.
        truth: (N,) bool, both values among them.
    """
    from sklearn.metrics import roc_curve as every_point

    false, true, thresholds = every_point(truth, scores)
    kept = np.unique(np.linspace(0, len(false) - 1, POINTS).round().astype(int))
    # The first threshold is infinite, which JSON has no word for.
    return false[kept].tolist(), true[kept].tolist(), np.minimum(thresholds[kept], 1.0 + 1e-6).tolist()
