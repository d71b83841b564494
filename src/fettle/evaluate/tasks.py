"""What each task brings to evaluation: checks, metrics, thresholds, parity, comparison. A new task is an entry here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from fettle.data import Subset
from fettle.evaluate.classification import ClassificationMetrics, classification_metrics
from fettle.evaluate.detection import DetectionMetrics
from fettle.evaluate.outcomes import ImageOutcome, Outcome
from fettle.evaluate.parity import Parity, parity
from fettle.evaluate.predict import check_probabilities
from fettle.evaluate.predictions import Arrays, Thresholds


@dataclass(frozen=True)
class Evaluation:
    """The functions of a task.

    *Predictions* are the checked outputs of the full curve by name, and the truth under ``truth_`` names. *Thresholds*
    are those of the file that is served; a task without any has an empty mapping.

    Attributes:
        check: (outputs of the engine, number of classes, image size, name for messages) -> outputs by name.
        truth: What is true of a split.
        fit: (predictions on val, thresholds of the export) -> thresholds to serve with.
        metrics: (predictions, thresholds, classes) -> metrics.
        parity: (predictions, thresholds, those of the reference) -> how far the answers are apart.
        answers: (predictions, thresholds) -> what the served file must answer, by output name.
        outcome: (predictions, thresholds, number of classes) -> what can be compared.
    """

    check: Callable[[tuple[np.ndarray, ...], int, int, str], Arrays]
    truth: Callable[[Subset], Arrays]
    fit: Callable[[Arrays, Thresholds], Thresholds]
    metrics: Callable[[Arrays, Thresholds, Sequence[str]], ClassificationMetrics | DetectionMetrics]
    parity: Callable[[Arrays, Thresholds, Arrays, Thresholds], Parity]
    answers: Callable[[Arrays, Thresholds], Arrays]
    outcome: Callable[[Arrays, Thresholds, int], Outcome]


TASKS: Mapping[str, Evaluation] = MappingProxyType(
    {
        "classify": Evaluation(
            check=lambda outputs, classes, _, name: {"probabilities": check_probabilities(outputs, classes, name=name)},
            truth=lambda subset: {"truth_labels": subset.labels},
            fit=lambda _, thresholds: thresholds,
            metrics=lambda found, _, classes: classification_metrics(
                found["probabilities"], found["truth_labels"], classes
            ),
            parity=lambda mine, _, theirs, __: parity(mine["probabilities"], theirs["probabilities"]),
            answers=lambda found, _: {"probabilities": found["probabilities"]},
            outcome=lambda found, _, __: ImageOutcome(
                found["probabilities"].argmax(axis=1) == found["truth_labels"], found["truth_labels"]
            ),
        ),
    }
)


def served_answers(task: str, predictions: Arrays, thresholds: Thresholds) -> Arrays:
    """Return what a server of the file must answer, by output name.

    Args:
        task: Of the model.
        predictions: What :func:`fettle.evaluate.predictions.read_predictions` gives.
        thresholds: Those that were stamped into the served file.
    """
    return TASKS[task].answers(predictions, thresholds)
