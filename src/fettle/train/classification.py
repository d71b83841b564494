"""How classifiers are learnt and scored."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

from fettle.data.dataset import Dataset
from fettle.models.embedder import CosineClassifier
from fettle.spec.train import TrainConfig
from fettle.train.arcface import arcface_logits
from fettle.train.objectives import PROBE, VAL, Direction
from fettle.train.regularize import Distillation, mixup


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


def classification_metrics(classes: int) -> MetricCollection:
    return MetricCollection(
        {
            "accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False),
            "precision": MulticlassPrecision(classes, average="macro", validate_args=False),
            "recall": MulticlassRecall(classes, average="macro", validate_args=False),
            "macro_f1": MulticlassF1Score(classes, average="macro", validate_args=False),
            "auroc": MulticlassAUROC(classes, average="macro", validate_args=False),
        }
    )


class Classification(nn.Module):
    """Soft cross-entropy, MixUp, and a teacher if there is one; accuracy is measured on training images too.

    A classifier by cosines is trained with ArcFace's margin.
    """

    monitors: Mapping[str, Direction] = MappingProxyType(
        {"macro_f1": "max", "accuracy": "max", "precision": "max", "recall": "max", "auroc": "max", "loss": "min"}
    )
    parts: tuple[str, ...] = ()
    shown: Mapping[str, str] = MappingProxyType(
        {"accuracy": "accuracy %.3f", "macro_f1": "macro F1 %.3f", "gap": "gap %+.3f"}
    )
    probes = True

    def __init__(
        self,
        criterion: SoftCrossEntropy,
        classes: int,
        *,
        mixup: float,
        distillation: Distillation | None,
        margin: float = 0.0,
    ) -> None:
        super().__init__()
        self.criterion, self.classes, self.distillation = criterion, classes, distillation
        self.mixup, self.margin = mixup, margin
        self.metrics = nn.ModuleList(classification_metrics(classes) for _ in (VAL, PROBE))
        self.val_loss = MeanMetric()

    def loss(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, tuple[()]]:
        targets = F.one_hot(labels, self.classes).float()
        if self.mixup > 0:
            images, targets = mixup(images, targets, self.mixup)
        outputs = model(images)
        loss = self.criterion(self._harder(model, outputs, targets), targets)
        if self.distillation is not None:
            loss = self.distillation(loss, images, outputs)
        return loss, ()

    def _harder(self, model: nn.Module, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if not isinstance(model, CosineClassifier):
            return outputs
        return arcface_logits(outputs.float() / model.scale, targets, margin=self.margin, scale=model.scale)

    def reset(self) -> None:
        for metric in (*self._metrics, self.val_loss):
            metric.reset()

    def update(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, loader: int) -> None:
        outputs = model(images).float()
        self._metrics[loader].update(outputs.softmax(dim=1), labels)
        if loader == VAL:
            self.val_loss.update(F.cross_entropy(outputs, labels), weight=len(labels))

    def scores(self) -> dict[str, float]:
        val, probe = ({name: value.item() for name, value in each.compute().items()} for each in self._metrics)
        return {
            "val_loss": self.val_loss.compute().item(),
            **val,
            "train_accuracy": probe["accuracy"],
            "gap": probe["accuracy"] - val["accuracy"],
        }

    @property
    def _metrics(self) -> Any:
        return self.metrics


def make(dataset: Dataset, config: TrainConfig, distillation: Distillation | None) -> Classification:
    """Return the objective; see :func:`fettle.train.objectives.make_objective`."""
    criterion = classification_loss(config, dataset.class_weights)
    return Classification(
        criterion, len(dataset.classes), mixup=config.mixup, margin=config.arcface.margin, distillation=distillation
    )
