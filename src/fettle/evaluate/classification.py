"""How good a classifier's predictions are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

BINS = 15


@dataclass(frozen=True)
class ClassReport:
    """One class against the rest; ``support`` is how many images truly are of it."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions whose confidence lies in (low, high]; an empty bin has ``count`` 0."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class ClassificationMetrics:
    """Metrics of one set of images.

    Attributes:
        count: Images.
        accuracy: Share of images whose most probable class is the true one.
        macro_f1: Mean of the classes' F1.
        auroc: Area under the ROC curve; of several classes the mean of one-versus-rest areas.
            ``None`` where a class is missing, or has all the images.
        ece: Expected calibration error over equal-width bins of the confidence.
        nll: Mean negative log-likelihood of the true class, in nats.
        per_class: In the order of the classes.
        confusion: ``confusion[i][j]`` counts images of class i that were taken for class j.
        reliability: The bins of ``ece``.
    """

    count: int
    accuracy: float
    macro_f1: float
    auroc: float | None
    ece: float
    nll: float
    per_class: tuple[ClassReport, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[ReliabilityBin, ...]
    task: Literal["classify"] = "classify"


def classification_metrics(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> ClassificationMetrics:
    """Return the metrics of a classifier.

    Args:
        probabilities: (N, C) float, rows summing to 1, N >= 1.
        labels: (N,) integers in 0..C-1.
        classes: The C names.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support  # 3 s: not for who reads results

    predicted = probabilities.argmax(axis=1)
    known = np.arange(len(classes))
    columns = precision_recall_fscore_support(labels, predicted, labels=known, zero_division=0.0)
    reports = tuple(
        ClassReport(name, float(precision), float(recall), float(f1), int(support))
        for name, precision, recall, f1, support in zip(classes, *columns, strict=True)
    )
    bins = reliability(probabilities, labels)
    return ClassificationMetrics(
        count=len(labels),
        accuracy=float((predicted == labels).mean()),
        macro_f1=float(np.mean([report.f1 for report in reports])),
        auroc=auroc(probabilities, labels),
        ece=calibration_error(bins),
        nll=negative_log_likelihood(probabilities, labels),
        per_class=reports,
        confusion=tuple(tuple(map(int, row)) for row in confusion_matrix(labels, predicted, labels=known)),
        reliability=bins,
    )


def auroc(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the area under the ROC curve, or ``None`` where it is not defined.

    Of two classes it is that of the second; of more, the macro mean of one-versus-rest
    (Hand & Till 2001 discuss the choice).
    """
    from sklearn.metrics import roc_auc_score

    columns = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    truths = [labels == column for column in columns]
    if any(truth.all() or not truth.any() for truth in truths):
        return None
    return float(np.mean([roc_auc_score(truth, probabilities[:, i]) for i, truth in zip(columns, truths, strict=True)]))


def reliability(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Return accuracy against confidence in equal-width bins (Guo et al. 2017, On Calibration of Modern Networks)."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    shares = np.maximum(counts, 1)
    means = np.bincount(index, weights=confidence, minlength=bins) / shares
    hits = np.bincount(index, weights=correct, minlength=bins) / shares
    return tuple(
        ReliabilityBin(i / bins, (i + 1) / bins, int(counts[i]), float(means[i]), float(hits[i])) for i in range(bins)
    )


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error: the mean gap of accuracy and confidence, weighted by count."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.accuracy - each.confidence) for each in bins) / total


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log p(true class); a probability of 0 counts as float32's smallest step."""
    likelihood = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(likelihood, np.finfo(np.float32).eps, 1.0)).mean())
