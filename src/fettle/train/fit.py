"""Fit a network to a data set; whatever interrupts it, the same call goes on where it was."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from fettle.data.dataset import Dataset
from fettle.errors import SpecError, TrainError
from fettle.models.architecture import Architecture
from fettle.models.weights import read_weights
from fettle.spec.train import DistilConfig, TrainConfig
from fettle.train.attention import AttentionTransfer
from fettle.train.batches import Batches
from fettle.train.files import BEST, FINAL, LAST, save_weights
from fettle.train.module import Fitter
from fettle.train.objectives import Direction, Objective, make_objective
from fettle.train.precision import choose_precision
from fettle.train.recorder import Recorder, interrupted
from fettle.train.regularize import Distillation
from fettle.train.result import FitResult, Row
from fettle.train.runs import begin
from fettle.train.team import Team, join, processes
from fettle.train.trainer import make_trainer, quiet

__all__ = ["FitResult", "fit"]


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
    """Train ``model`` in place on the train split and keep the epoch that is best on the val split.

    A checkpoint is written after every epoch, and at SIGTERM. A call with the same arguments and ``folder`` goes on
    from it, on a CPU to the very weights that an uninterrupted run would have given.

    Under torchrun the processes train together: on the batches of one process, of which each takes its share. The
    first one writes the files and returns; the others end here, with exit code 0.

    Args:
        model: Network of ``architecture``, with its initial weights.
        architecture: Gives task, classes, mean and std.
        dataset: Images and labels.
        config: How to train.
        folder: Checkpoints, ``history.jsonl`` and ``log/``; made if needed. A run with other arguments that was left
            there is discarded.
        teacher: Network to learn from, with the same outputs; needs ``distil``.
        distil: How much to learn from it.
        on_epoch: Called with each row of the history; what it raises ends training.

    Raises:
        SpecError: If a key of ``config`` does not suit the task, Lightning, this machine or the number of processes.
        TrainError: If the loss is not finite, training was interrupted, or the disk is full.
    """
    _check(dataset, config, teacher=teacher, distil=distil)
    distillation = _taught(model, architecture, teacher, distil)
    objective = make_objective(dataset, config, distillation)
    monitor, direction = _monitor(config, objective)
    team = _assemble(dataset, config)
    begun = partial(
        begin, folder, model, architecture, dataset, config, teacher=teacher, distil=distil,
        choose=partial(choose_precision, config.precision, model, image_size=architecture.image_size),
    )  # fmt: skip
    precision = team.told_by_first(begun)
    team.share_file(folder / LAST)
    config = config.model_copy(update={"precision": precision})
    recorder = Recorder(
        folder,
        monitor={"loss": "val_loss"}.get(monitor, monitor),
        maximize=direction == "max",
        patience=config.patience,
        on_epoch=on_epoch,
    )
    fitter = Fitter(model, architecture, objective, config)
    try:
        _run(fitter, Batches(dataset, config, probes=objective.probes), recorder, folder, team)
    finally:
        if distillation is not None:
            distillation.close()
    save_weights(folder / FINAL, fitter.kept)
    model.load_state_dict(read_weights(folder / BEST))
    return FitResult(
        model=model.to("cpu").eval(),
        history=tuple(recorder.history),
        best=recorder.best,
        timing=tuple(recorder.timing),
        precision=precision,
    )


def _taught(
    model: nn.Module, architecture: Architecture, teacher: nn.Module | None, distil: DistilConfig | None
) -> Distillation | None:
    if teacher is None or distil is None:
        return None
    size = architecture.image_size
    attention = (
        AttentionTransfer(model, teacher, example_input=torch.zeros(1, 3, size, size)) if distil.attention else None
    )
    return Distillation(teacher, distil, attention)


def _assemble(dataset: Dataset, config: TrainConfig) -> Team:
    team = join(config)
    team.check(dataset, config)
    if team.size == 1 and (wanted := processes(config)) > 1:
        raise SpecError(f"`train.trainer.devices` is {wanted}: so many processes are started by the step, or torchrun.")
    return team


def _run(fitter: Fitter, batches: Batches, recorder: Recorder, folder: Path, team: Team) -> None:
    config = fitter.config
    last = folder / LAST
    with quiet():
        trainer = make_trainer(config, folder, [recorder], precision=config.precision, team=team)
        try:
            trainer.fit(fitter, batches, ckpt_path=last if last.exists() else None, weights_only=True)
        except SIGTERMException:
            raise interrupted(folder) from None
        except SystemExit as error:  # Lightning's answer to Ctrl-C
            raise interrupted(folder) from error
    team.leave()
    if not team.is_first:
        sys.exit(0)


def _monitor(config: TrainConfig, objective: Objective) -> tuple[str, Direction]:
    """Return what picks the best epoch, and which way is better; ``epoch`` itself takes the last, of every task."""
    monitors: Mapping[str, Direction] = {**objective.monitors, "epoch": "max"}
    monitor = config.monitor or next(iter(monitors))
    if monitor not in monitors:
        raise SpecError(f"`train.monitor` must be one of {', '.join(monitors)}, got {monitor!r}.")
    return monitor, monitors[monitor]


def _check(dataset: Dataset, config: TrainConfig, *, teacher: nn.Module | None, distil: DistilConfig | None) -> None:
    if config.options:
        raise SpecError(f"`train.options` {config.options} are for yolov8's own trainer: this family takes none.")
    if (teacher is None) != (distil is None):
        raise SpecError("`distil` needs a teacher, and a teacher needs `distil`: give both or neither.")
    for split in ("train", "val"):
        if not len(dataset.subset(split)):
            raise TrainError(f"The data set has no {split} images: set `dataset.split.{split}` or add some.")
