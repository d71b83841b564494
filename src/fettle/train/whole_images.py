"""Fit a detector that votes among classifiers: every picture is one box of its class."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from torch import nn

from fettle.data.boxes import Boxes
from fettle.data.dataset import Dataset
from fettle.models.architecture import Architecture
from fettle.models.voter import BestBox
from fettle.spec.train import DistilConfig, TrainConfig
from fettle.train.result import FitResult, Row
from fettle.train.trainers import find_trainer

log = logging.getLogger("fettle")


def fit(
    model: nn.Module,
    architecture: Architecture,
    dataset: Dataset,
    config: TrainConfig,
    *,
    folder: Path,
    teacher: nn.Module | None = None,
    distil: DistilConfig | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> FitResult:
    """Train the detector in ``model`` as its family is trained; see :class:`fettle.train.result.Fit`."""
    if teacher is not None and distil is not None:
        log.info("%s learns from the pictures alone: a detector has no teacher.", architecture.family)
    network, detector = cast(BestBox, model), replace(architecture, task="detect")
    result = find_trainer(detector)(
        network.detector, detector, with_whole_boxes(dataset), config, folder=folder, on_epoch=on_epoch
    )
    return replace(result, model=network.eval())


def with_whole_boxes(dataset: Dataset) -> Dataset:
    """Return a data set of labelled pictures as one for a detector."""
    count, size = len(dataset.records), dataset.image_size
    boxes = Boxes(
        xyxy=np.tile(np.array([0, 0, size, size], np.float32), (count, 1)),
        labels=np.array([record.label for record in dataset.records], np.int64),
        starts=np.arange(count + 1),
        areas=np.array([record.width * record.height for record in dataset.records], np.float32),
    )
    return replace(dataset, task="detect", boxes=boxes)
