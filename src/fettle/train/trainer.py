"""Lightning's trainer, quiet and writing nowhere but into the run's folder."""

import contextlib
import difflib
import inspect
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import DDPStrategy
from typing_extensions import override

from fettle.errors import SpecError
from fettle.spec.train import TrainConfig
from fettle.train.files import AtomicCheckpointIO
from fettle.train.precision import LIGHTNING_NAMES
from fettle.train.progress import ProgressBar
from fettle.train.team import Team
from fettle.train.trackers import make_trackers

# Set from other keys of the spec.
OWNED = frozenset(
    ("callbacks", "default_root_dir", "enable_checkpointing", "enable_progress_bar", "gradient_clip_val", "logger",
     "max_epochs", "min_epochs", "max_steps", "num_sanity_val_steps", "plugins", "precision", "fast_dev_run",
     "gradient_clip_algorithm", "check_val_every_n_epoch", "val_check_interval", "reload_dataloaders_every_n_epochs",
     "use_distributed_sampler", "num_nodes", "sync_batchnorm")
)  # fmt: skip
STRATEGIES = {"auto": False, "ddp": False, "ddp_find_unused_parameters_true": True}
ALONE = Team()


class PatientTrainer(pl.Trainer):
    """Ends a validation that has begun before it obeys SIGTERM: the end of the epoch then saves everything.

    Attributes:
        leaving: All of several processes know that one of them was told to stop.
    """

    leaving = False

    @property
    @override
    def received_sigterm(self) -> bool:
        told = self.leaving if self.world_size > 1 else super().received_sigterm
        return told and not self.validating


def make_trainer(
    config: TrainConfig, folder: Path, callbacks: list[pl.Callback], *, precision: str, team: Team = ALONE
) -> pl.Trainer:
    """Return the trainer of a run.

    Args:
        config: Its ``trainer`` is passed through; one device by default.
        folder: The run's folder.
        callbacks: What else happens.
        precision: ``float32``, ``bf16`` or ``fp16``.
        team: Who trains.

    Raises:
        SpecError: If Lightning does not know a key or value of ``train.trainer``, or Fettle sets it itself.
    """
    options = {"devices": 1, **checked_options(config.trainer), **_shared(config.trainer, team)}
    try:
        return PatientTrainer(
            **options,
            max_epochs=config.epochs,
            precision=LIGHTNING_NAMES[precision],
            callbacks=[*callbacks, *([ProgressBar()] if sys.stderr.isatty() and team.is_first else [])],
            logger=make_trackers(config.trackers, folder / "log"),
            default_root_dir=folder,
            plugins=[AtomicCheckpointIO()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        raise SpecError(f"`train.trainer` {dict(config.trainer)} does not suit Lightning here: {error}") from error


def _shared(given: Mapping[str, Any], team: Team) -> dict[str, Any]:
    """Return what several processes need: each machine's share, and gradients that are averaged."""
    strategy = given.get("strategy", "auto")
    if strategy not in STRATEGIES:
        raise SpecError(f"`train.trainer.strategy` must be one of {', '.join(STRATEGIES)}, got {strategy!r}.")
    if team.size == 1:
        return {"strategy": "auto"}
    # What batch norms see is averaged before a validation, instead of before every step.
    shared = DDPStrategy(broadcast_buffers=False, find_unused_parameters=STRATEGIES[strategy])
    return {"devices": team.local, "num_nodes": team.machines, "strategy": shared}


def checked_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``options`` if Lightning's trainer takes them all."""
    known = set(inspect.signature(pl.Trainer).parameters) - OWNED
    for key in options:
        if key in OWNED:
            raise SpecError(f"`train.trainer.{key}` is set by Fettle from the other keys of `train`: remove it.")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(known))}."
            raise SpecError(f"`train.trainer.{key}` is no argument of lightning.Trainer: {hint}")
    return options


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's tips, advertisements and hints; errors still pass."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning|torchmetrics|torch\.utils\.data")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
