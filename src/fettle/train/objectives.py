"""What a task optimizes and how it is scored; a new task is one entry of :data:`OBJECTIVES`."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Literal, Protocol, cast

import torch
from torch import nn

from fettle.data.dataset import Dataset
from fettle.spec.train import TrainConfig
from fettle.train.regularize import Distillation

Direction = Literal["max", "min"]
VAL, PROBE = 0, 1  # validation loaders: the val split, and as many training images


class Objective(Protocol):
    """How the network of one run is learnt and scored: an ``nn.Module`` that moves with the network and saves nothing.

    Attributes:
        monitors: Metrics that may pick the best epoch, the default first, and which way is better.
        parts: What :meth:`loss` reports beside the loss; the history has the mean over each epoch.
        shown: Columns of the history for the log, and how.
        probes: Whether training images are scored too.
    """

    monitors: Mapping[str, Direction]
    parts: tuple[str, ...]
    shown: Mapping[str, str]
    probes: bool

    def loss(
        self, model: nn.Module, images: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the loss of a training batch, and :attr:`parts`."""

    def reset(self) -> None:
        """Begin a validation."""

    def update(self, model: nn.Module, images: torch.Tensor, targets: torch.Tensor, loader: int) -> None:
        """Score a batch of :data:`VAL` or :data:`PROBE`."""

    def scores(self) -> dict[str, float]:
        """Return the columns of the validation, over all processes; ``val_loss`` is among them.

        It has no weights, smoothing or mixing in it, so that it compares between configurations.
        """


Make = Callable[[Dataset, TrainConfig, Distillation | None], Objective]
OBJECTIVES: Mapping[str, str] = {
    "classify": "fettle.train.classification",
    "detect": "fettle.train.detection",
    "embed": "fettle.train.embedding",
}


def make_objective(dataset: Dataset, config: TrainConfig, distillation: Distillation | None = None) -> Objective:
    """Return the objective of the data set's task.

    Raises:
        SpecError: If ``config`` does not suit the task.
        TrainError: If there is nothing to learn from.
    """
    make = cast(Make, import_module(OBJECTIVES[dataset.task]).make)
    return make(dataset, config, distillation)
