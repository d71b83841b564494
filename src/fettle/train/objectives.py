"""What a task optimizes and how it is scored; a new task is one entry of :data:`OBJECTIVES`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

from fettle.spec.train import TrainConfig


class Loss(Protocol):
    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class Objective:
    """How one task is learnt and scored.

    Attributes:
        targets: Labels of a batch to float targets that can be mixed.
        criterion: Config and class weights to the loss that is minimized.
        plain_loss: Outputs and labels to the sum of the loss over images, without weights, smoothing or mixing: what
            validation reports, comparable between configurations.
        probabilities: Outputs to what the metrics take.
        metrics: Number of classes to the validation metrics.
        monitors: Metrics that may pick the best epoch, and which way is better.
    """

    targets: Callable[[torch.Tensor, int], torch.Tensor]
    criterion: Callable[[TrainConfig, NDArray[np.float64]], Loss]
    plain_loss: Loss
    probabilities: Callable[[torch.Tensor], torch.Tensor]
    metrics: Callable[[int], MetricCollection]
    monitors: Mapping[str, Literal["max", "min"]]


def one_hot(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """(N,) int64 labels to (N, C) float32 targets."""
    return F.one_hot(labels, classes).float()


class SoftCrossEntropy(nn.Module):
    """Cross-entropy with target distributions, label smoothing (Szegedy et al. 2016) and class weights.

    Args:
        weights: (C,) weights of the classes.
        smoothing: Probability mass spread over all classes.
    """

    def __init__(self, weights: torch.Tensor, smoothing: float) -> None:
        super().__init__()
        self.weights: torch.Tensor
        self.register_buffer("weights", weights, persistent=False)
        self.smoothing = smoothing

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(outputs, targets, weight=self.weights, label_smoothing=self.smoothing)


def classification_loss(config: TrainConfig, class_weights: NDArray[np.float64]) -> SoftCrossEntropy:
    """Return the loss of ``classify``.

    A class of weight w = n / (k n_c) is drawn w^sampling times as often and counts w^loss in the loss, so that its
    total influence grows by w^(sampling + loss). With both exponents at 1 a class ten times rarer than another would
    end up ten times *more* influential than it: the two exponents should add up to at most 1, as the default .5 + .5.

    The weights are scaled to a mean of 1 over the images that the sampler draws, so that neither the loss nor the
    learning rate that suits it depends on the imbalance.

    Args:
        config: Uses ``balance`` and ``label_smoothing``.
        class_weights: (C,) n / (k n_c).
    """
    weights = class_weights**config.balance.loss
    frequency = class_weights ** (config.balance.sampling - 1)
    weights = weights / np.average(weights, weights=frequency)
    return SoftCrossEntropy(torch.tensor(weights, dtype=torch.float32), config.label_smoothing)


def _classification_metrics(classes: int) -> MetricCollection:
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False),
            "precision": MulticlassPrecision(classes, average="macro", validate_args=False),
            "recall": MulticlassRecall(classes, average="macro", validate_args=False),
            "macro_f1": MulticlassF1Score(classes, average="macro", validate_args=False),
            "auroc": MulticlassAUROC(classes, average="macro", validate_args=False),
        }
    )


def _summed_cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(outputs, targets, reduction="sum")


OBJECTIVES: dict[str, Objective] = {
    "classify": Objective(
        targets=one_hot,
        criterion=classification_loss,
        plain_loss=_summed_cross_entropy,
        probabilities=lambda outputs: outputs.softmax(dim=1),
        metrics=_classification_metrics,
        monitors={
            "macro_f1": "max",
            "accuracy": "max",
            "precision": "max",
            "recall": "max",
            "auroc": "max",
            "loss": "min",
        },
    ),
}
