"""What every trainer gives, and how it is called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from fettle.data.dataset import Dataset
from fettle.errors import TrainError
from fettle.models.architecture import Architecture
from fettle.spec.train import DistilConfig, TrainConfig

Row = Mapping[str, Any]
HISTORY, TIMING = "history.jsonl", "log/timing.jsonl"  # in the folder of the run


class DivergedError(TrainError):
    """The loss is not finite any more."""


class InterruptionError(TrainError):
    """Training was ended from outside: the same call goes on where it was."""


@dataclass(frozen=True)
class FitResult:
    """What training gave.

    Attributes:
        model: The network with the weights of the best epoch, in eval mode on the CPU.
        history: A row an epoch: losses, metrics, learning rates, gradient norm.
        best: The row of the best epoch.
        timing: Seconds and images per second of each epoch.
        precision: Arithmetic that was used.
    """

    model: nn.Module
    history: tuple[Row, ...]
    best: Row
    timing: tuple[Row, ...]
    precision: str


class Fit(Protocol):
    """Trains ``model`` in place on the train split and keeps the epoch that is best on the val split.

    It writes :data:`HISTORY` and ``log/`` into ``folder``. A call with the same arguments goes on from what an
    interrupted one left there.

    Raises:
        SpecError: If a key of ``config`` does not suit the task, the trainer or this machine.
        TrainError: If the loss is not finite, training was interrupted, or the disk is full.
    """

    def __call__(
        self,
        model: nn.Module,
        architecture: Architecture,
        dataset: Dataset,
        config: TrainConfig,
        *,
        folder: Path,
        teacher: nn.Module | None = None,
        distil: DistilConfig | None = None,
        on_epoch: Callable[[Row], None] | None = None,
    ) -> FitResult: ...
