"""What each task brings to evaluation: checks, metrics, thresholds, parity, comparison. A new task is an entry here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from fettle.data import Subset
from fettle.evaluate.box_outcome import BoxOutcome
from fettle.evaluate.box_parity import box_parity
from fettle.evaluate.classification import classification_metrics
from fettle.evaluate.detection_metrics import detection_metrics
from fettle.evaluate.detections import cut, read_detections, truth_arrays
from fettle.evaluate.embedding_metrics import (
    EmbeddingOutcome,
    embedding_metrics,
    embedding_parity,
    fit_similarity,
    read_similarities,
)
from fettle.evaluate.operating_point import fit_confidence
from fettle.evaluate.outcomes import ImageOutcome, Outcome
from fettle.evaluate.parity import Parity, parity
from fettle.evaluate.predict import check_detections, check_embeddings, check_probabilities
from fettle.evaluate.predictions import Arrays, Thresholds
from fettle.evaluate.results import Metrics


@dataclass(frozen=True)
class Evaluation:
    """The functions of a task.

    *Predictions* are the checked outputs of the full curve by name, and the truth under ``truth_`` names. *Thresholds*
    are those of the file that is served; a task without any has an empty mapping.

    Attributes:
        check: (outputs of the engine, number of classes, image size, name for messages) -> outputs by name.
        truth: What is true of a split.
        study: (predictions, number of classes) -> what the next three take, so that it is worked out once.
        fit: (study of val, thresholds of the export) -> thresholds to serve with.
        metrics: (study, thresholds, classes) -> metrics.
        outcome: (study, thresholds) -> what can be compared.
        parity: (predictions, thresholds, those of the reference) -> how far the answers are apart.
        answers: (predictions, thresholds) -> what the served file must answer, by output name.
    """

    check: Callable[[tuple[np.ndarray, ...], int, int, str], Arrays]
    truth: Callable[[Subset], Arrays]
    study: Callable[[Arrays, int], Any]
    fit: Callable[[Any, Thresholds], Thresholds]
    metrics: Callable[[Any, Thresholds, Sequence[str]], Metrics]
    outcome: Callable[[Any, Thresholds], Outcome]
    parity: Callable[[Arrays, Thresholds, Arrays, Thresholds], Parity]
    answers: Callable[[Arrays, Thresholds], Arrays]


TASKS: Mapping[str, Evaluation] = MappingProxyType(
    {
        "classify": Evaluation(
            check=check_probabilities,
            truth=lambda subset: {"truth_labels": subset.labels},
            study=lambda predictions, _: predictions,
            fit=lambda _, thresholds: thresholds,
            metrics=lambda found, _, classes: classification_metrics(
                found["probabilities"], found["truth_labels"], classes
            ),
            outcome=lambda found, _: ImageOutcome(
                found["probabilities"].argmax(axis=1) == found["truth_labels"], found["truth_labels"]
            ),
            parity=lambda mine, _, theirs, __: parity(mine["probabilities"], theirs["probabilities"]),
            answers=lambda found, _: {"probabilities": found["probabilities"]},
        ),
        "detect": Evaluation(
            check=check_detections,
            truth=lambda subset: truth_arrays(subset.boxes),
            study=read_detections,
            fit=fit_confidence,
            metrics=detection_metrics,
            outcome=BoxOutcome,
            parity=box_parity,
            answers=cut,
        ),
        "embed": Evaluation(
            check=check_embeddings,
            truth=lambda subset: {"truth_labels": subset.labels},
            study=read_similarities,
            fit=fit_similarity,
            metrics=embedding_metrics,
            outcome=lambda found, _: EmbeddingOutcome(found),
            parity=embedding_parity,
            answers=lambda found, _: {"embedding": found["embedding"]},
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
