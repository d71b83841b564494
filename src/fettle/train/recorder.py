"""The end of an epoch: history, best and last checkpoint, early stopping, one line for the reader."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override

from fettle.train.files import BEST, LAST, save_weights, write_rows
from fettle.train.module import Fitter
from fettle.train.result import HISTORY, TIMING, InterruptionError, Row

log = logging.getLogger("fettle")


class Recorder(pl.Callback):
    """Keeps what an epoch gave.

    Its state is the history; the best epoch and early stopping follow from it, so that a resumed run decides alike.

    Args:
        folder: Where the files go.
        monitor: Metric that picks the best epoch; among equals the lower validation loss decides.
        maximize: Whether more is better.
        patience: Epochs without a better one before training stops; 0 never stops.
        on_epoch: Called with each row after it is saved.
    """

    def __init__(
        self, folder: Path, *, monitor: str, maximize: bool, patience: int, on_epoch: Callable[[Row], None] | None
    ) -> None:
        self.folder, self.monitor, self.maximize, self.patience = folder, monitor, maximize, patience
        self.on_epoch = on_epoch
        self.history: list[Row] = []
        self.timing: list[Row] = []
        self._begin = self._trained = 0.0
        self._images = 0

    @property
    def best(self) -> Row:
        """The row of the best epoch so far."""
        sign = 1 if self.maximize else -1
        return max(self.history, key=lambda row: (sign * row[self.monitor], -row["val_loss"], -row["epoch"]))

    @property
    def is_over(self) -> bool:
        return bool(self.patience and self.history and len(self.history) - self.best["epoch"] >= self.patience)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "timing": self.timing}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history, self.timing = state_dict["history"], state_dict["timing"]

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = self.is_over  # resumed after its last epoch

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin, self._images = time.perf_counter(), 0

    @override
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._images += len(batch[0])
        self._trained = time.perf_counter()
        is_last = batch_idx + 1 == trainer.num_training_batches  # then the end of the epoch saves, and Lightning stops
        if trainer.received_sigterm and not is_last:
            pl_module.settle()
            trainer.save_checkpoint(self.folder / LAST)
            raise interrupted(self.folder)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Fitter)
        epoch = len(self.history) + 1
        row = {"epoch": epoch, **pl_module.epoch_row()}
        self.history.append(row)
        self.timing.append(self._clock(epoch, trainer.world_size))
        if self.best is row and trainer.is_global_zero:
            save_weights(self.folder / BEST, pl_module.kept)
        trainer.save_checkpoint(self.folder / LAST)
        if trainer.is_global_zero:
            self._publish(trainer, row, pl_module.objective.shown)
        trainer.should_stop = trainer.should_stop or self.is_over
        if self.on_epoch is not None:
            self.on_epoch(row)

    def _publish(self, trainer: pl.Trainer, row: Row, shown: Mapping[str, str]) -> None:
        write_rows(self.folder / HISTORY, self.history)
        write_rows(self.folder / TIMING, self.timing)
        for logger in trainer.loggers:
            logger.log_metrics({name: value for name, value in row.items() if name != "epoch"}, step=row["epoch"])
        log.info(
            "epoch %d/%d: loss %.3f, val loss %.3f, %s, lr %.2g, %.0f images/s%s",
            row["epoch"], trainer.max_epochs, row["train_loss"], row["val_loss"],
            ", ".join(form % row[name] for name, form in shown.items()),
            row["lr"], self.timing[-1]["images_per_second"], " *" if self.best is row else "",
        )  # fmt: skip

    def _clock(self, epoch: int, world: int) -> Row:
        trained = max(self._trained - self._begin, 1e-9)
        return {
            "epoch": epoch,
            "seconds": round(time.perf_counter() - self._begin, 3),
            "images_per_second": round(world * self._images / trained, 1),
        }


def interrupted(folder: Path) -> InterruptionError:
    return InterruptionError(
        f"Training was interrupted; its state is in {folder}. Run the same command again to go on."
    )
