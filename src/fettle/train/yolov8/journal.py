"""What the epochs gave: history, the best of them, when to stop, a line for the reader."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fettle.spec.train import TrainConfig
from fettle.train.files import write_rows
from fettle.train.result import HISTORY, TIMING, Row
from fettle.train.trackers import make_trackers
from fettle.train.yolov8.settings import MONITORS

log = logging.getLogger("fettle")


class Journal:
    """Keeps a row an epoch; the best one and early stopping follow from the rows, so that a resumed run decides alike.

    Args:
        folder: Where the files go.
        config: Uses ``monitor``, ``patience``, ``trackers`` and ``epochs``.
        on_epoch: Called with each row after it is saved.
    """

    def __init__(self, folder: Path, config: TrainConfig, on_epoch: Callable[[Row], None] | None) -> None:
        self.folder, self.config, self.on_epoch = folder, config, on_epoch
        self.column, self.maximize = MONITORS[config.monitor or "map50_95"]
        self.trackers = make_trackers(config.trackers, folder / "log")
        self.history: list[Row] = []
        self.timing: list[Row] = []
        self._begin = 0.0

    @property
    def best(self) -> Row:
        """The row of the best epoch so far; among equals the lower validation loss decides, then the earlier one."""
        sign = 1 if self.maximize else -1
        return max(self.history, key=lambda row: (sign * row[self.column], -row["val_loss"], -row["epoch"]))

    @property
    def is_over(self) -> bool:
        done, patience = len(self.history), self.config.patience
        return done >= self.config.epochs or bool(patience and done and done - self.best["epoch"] >= patience)

    def state(self) -> dict[str, Any]:
        return {"history": self.history, "timing": self.timing}

    def load(self, state: Mapping[str, Any]) -> None:
        self.history, self.timing = list(state["history"]), list(state["timing"])

    def start_clock(self) -> None:
        self._begin = time.perf_counter()

    def read_clock(self, images: int) -> Row:
        """Return the time of an epoch's training."""
        seconds = time.perf_counter() - self._begin
        return {"seconds": round(seconds, 3), "images_per_second": round(images / max(seconds, 1e-9), 1)}

    def publish(self) -> None:
        """Write the rows, tell the trackers, the reader and the caller."""
        row = self.history[-1]
        write_rows(self.folder / HISTORY, self.history)
        write_rows(self.folder / TIMING, self.timing)
        for tracker in self.trackers:
            tracker.log_metrics({name: value for name, value in row.items() if name != "epoch"}, step=row["epoch"])
            tracker.save()
        log.info(
            "epoch %d/%d: loss %.3f, val loss %.3f, mAP50 %.3f, mAP50-95 %.3f, lr %.2g, %.0f images/s%s",
            row["epoch"], self.config.epochs, row["train_loss"], row["val_loss"], row["map50"], row["map50_95"],
            row["lr"], self.timing[-1]["images_per_second"], " *" if self.best is row else "",
        )  # fmt: skip
        if self.on_epoch is not None:
            self.on_epoch(row)


def make_row(epoch: int, metrics: Mapping[str, float], norms: Sequence[float]) -> Row:
    """Return a row of the history out of Ultralytics' metrics.

    Args:
        epoch: From 1.
        metrics: Under Ultralytics' names.
        norms: Gradient norm of each step.
    """
    losses = {name.removeprefix("train/"): value for name, value in metrics.items() if name.startswith("train/")}
    row = {
        "epoch": epoch,
        "train_loss": sum(losses.values()),
        "val_loss": sum(value for name, value in metrics.items() if name.startswith("val/")),
        "map50": metrics["metrics/mAP50(B)"],
        "map50_95": metrics["metrics/mAP50-95(B)"],
        "precision": metrics["metrics/precision(B)"],
        "recall": metrics["metrics/recall(B)"],
        "lr": metrics["lr/pg0"],
        "gradient_norm": sum(norms) / max(len(norms), 1),
        **losses,
    }
    return {name: value if name == "epoch" else float(value) for name, value in row.items()}
