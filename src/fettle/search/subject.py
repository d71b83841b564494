"""What is searched: a trained network, its data, and how it is trained again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fettle.data import Dataset, Subset
from fettle.evaluate.measures import headline
from fettle.export.served import Normalize
from fettle.models.architecture import Architecture
from fettle.optimize.calibration import calibration_images
from fettle.optimize.channels import Batches
from fettle.optimize.reconstruction import reconstruction_images
from fettle.spec import DistilConfig, TrainConfig
from fettle.spec.recipes import DISTILLED
from fettle.train.rounding import rounding
from fettle.train.team import alone
from fettle.train.trainers import find_trainer

BLOCK_IMAGES = 24  # that blocks are ranked on
DISTIL = DistilConfig()


@dataclass(frozen=True)
class Subject:
    """A trained network and all that a search needs to know of it.

    Attributes:
        model: In its prunable form, in eval mode, on the CPU; it is never changed, and teaches the smaller ones.
        architecture: Of it.
        digest: Of its artifact.
        data: Its data set.
        train: How it was trained.
        epoch_seconds: That an epoch of it took.
        batches: Makes the training images and labels that the Taylor importance of channels needs; ``None`` where the
            task knows no such loss.
        distil: How much the smaller ones learn from it, where their task can be taught; ``None`` for the labels alone.
        teacher: Who gives its answers; by default the model itself.
    """

    model: nn.Module
    architecture: Architecture
    digest: str
    data: Dataset
    train: TrainConfig
    epoch_seconds: float
    batches: Callable[[], Batches] | None
    distil: DistilConfig | None = DISTIL
    teacher: nn.Module | None = None

    @property
    def val(self) -> Subset:
        return self.data.subset("val")

    @property
    def measure(self) -> str:
        return headline(self.architecture.task).name

    @cached_property
    def calibration(self) -> np.ndarray:
        """(N, S, S, 3) uint8 of the calib split."""
        return calibration_images(self.data, 200)

    @cached_property
    def normalized(self) -> torch.Tensor:
        """Some calibration images as the network takes them, (N, 3, S, S) float32."""
        normalize = Normalize(self.architecture.mean, self.architecture.std)
        images: torch.Tensor = normalize(torch.from_numpy(self.calibration[:BLOCK_IMAGES]))
        return images

    def examples(self) -> torch.Tensor:
        """Return the training images that layers are fitted on after channels are gone."""
        return reconstruction_images(self.data, self.architecture)

    def fit(
        self,
        model: nn.Module,
        architecture: Architecture,
        *,
        epochs: int,
        rate: float,
        folder: Path,
        qat: bool = False,
    ) -> nn.Module:
        """Train a smaller network, taught by the whole one where its task can be.

        Args:
            model: Trained in place.
            architecture: Of it.
            epochs: How long.
            rate: Share of the learning rate that the whole network was trained at.
            folder: Of the run: what was interrupted there goes on.
            qat: Whether layers round to INT8 while they learn.

        Raises:
            DivergedError: If the loss is not finite.
        """
        changes: Mapping[str, Any] = {
            "epochs": epochs, "lr": rate * self.train.lr, "patience": 0, "trackers": [], "warmup_epochs": 0.0,
            "monitor": "epoch",  # the best one of many is the luckiest too
        }  # fmt: skip
        taught: dict[str, Any] = {}
        if architecture.task in DISTILLED and self.distil is not None:
            taught = {"teacher": self.teacher or self.model, "distil": self.distil}
        config = alone(self.train).model_copy(update=dict(changes))
        with rounding(model, wanted=qat):
            return find_trainer(architecture)(model, architecture, self.data, config, folder=folder, **taught).model
