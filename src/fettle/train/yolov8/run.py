"""Fit a YOLOv8; whatever interrupts it, the same call goes on at the epoch where it was."""

import contextlib
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from fettle.data.dataset import Dataset
from fettle.errors import SpecError, TrainError
from fettle.models.architecture import Architecture
from fettle.models.weights import read_weights
from fettle.models.yolov8.network import YOLOv8
from fettle.spec.train import DistilConfig, TrainConfig
from fettle.train.files import BEST, LAST, load
from fettle.train.precision import choose_precision
from fettle.train.recorder import interrupted
from fettle.train.result import FitResult, Row
from fettle.train.runs import begin, find_device
from fettle.train.yolov8.journal import Journal
from fettle.train.yolov8.loop import Loop
from fettle.train.yolov8.settings import arguments

SCRATCH = "ultralytics"  # folder that its trainer insists on


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
    """Train ``model`` in place and keep the moving average of its weights of the epoch that is best on the val split.

    See :class:`fettle.train.result.Fit`. It may be pruned. ``train.options`` are Ultralytics' own, see
    :data:`fettle.train.yolov8.settings.OPTIONS`; the same seed gives the same weights, interrupted or not.

    Raises:
        SpecError: If a key of ``config`` does not suit it, or a teacher is given.
        TrainError: If the loss is not finite, training was interrupted, or the disk is full.
    """
    if teacher is not None or distil is not None:
        raise SpecError("`distil` is not for yolov8: it learns from the boxes alone; set `finetune.distil: null`.")
    network = cast(YOLOv8, model)
    device, size = find_device(config), architecture.image_size
    settings = arguments(config, image_size=size, device=_name(device), folder=folder.absolute() / SCRATCH)
    _check(dataset)
    precision = begin(
        folder, model, architecture, dataset, config,
        choose=lambda device: choose_precision(config.precision, Raw(network), device, image_size=size),
    )  # fmt: skip
    journal = Journal(folder, config, on_epoch)
    if (folder / LAST).exists():
        journal.load(load(folder / LAST))
    if not journal.is_over:
        _train(network, dataset, config, settings, precision=precision, journal=journal, folder=folder)
    network.network.load_state_dict(read_weights(folder / BEST))
    return FitResult(
        model=_plain(network),
        history=tuple(journal.history),
        best=journal.best,
        timing=tuple(journal.timing),
        precision=precision,
    )


class Raw(nn.Module):
    """The network's raw outputs as one tensor: what is timed to choose the arithmetic."""

    def __init__(self, model: YOLOv8) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raw = self.network(images)
        return torch.cat([raw["boxes"], raw["scores"]], 1)


def _train(model: YOLOv8, dataset: Dataset, config: TrainConfig, settings: dict[str, Any], **rest: Any) -> None:
    folder: Path = rest["folder"]
    with _interruptible(folder):
        try:
            Loop(model, dataset, config, settings, **rest).train()
        finally:
            shutil.rmtree(folder / SCRATCH, ignore_errors=True)


def _check(dataset: Dataset) -> None:
    for split in ("train", "val"):
        if not len(dataset.subset(split)):
            raise TrainError(f"The data set has no {split} images: set `dataset.split.{split}` or add some.")


def _name(device: torch.device) -> str:
    return "0" if device.type == "cuda" else "cpu"


def _plain(model: YOLOv8) -> YOLOv8:
    """Return the model as it was built: on the CPU, in eval mode, with nothing left of the trainer."""
    model.network.criterion = model.network.args = model.network.arithmetic = None
    return model.to("cpu").to(memory_format=torch.contiguous_format).eval().requires_grad_(True)


@contextlib.contextmanager
def _interruptible(folder: Path) -> Iterator[None]:
    """Make SIGTERM and Ctrl-C an error of one sentence; the last checkpoint lies there whole."""

    def stop(*_: object) -> None:
        raise interrupted(folder)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise interrupted(folder) from None
    finally:
        signal.signal(signal.SIGTERM, before)
