"""Ultralytics' training loop, on our images, with our checkpoints, and quiet."""

import math
import random
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import override
from ultralytics.models.yolo.detect import DetectionTrainer, DetectionValidator

from fettle.data.dataset import Dataset
from fettle.models.yolov8.network import YOLOv8
from fettle.spec.train import TrainConfig
from fettle.train.batches import default_workers
from fettle.train.files import BEST, LAST, load, save, save_weights
from fettle.train.result import DivergedError, Row
from fettle.train.yolov8.criterion import Criterion
from fettle.train.yolov8.images import Images, Loader, train_loader, val_loader
from fettle.train.yolov8.journal import Journal, make_row

ARITHMETIC = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Loop(DetectionTrainer):  # type: ignore[misc]
    """Trains a network in place.

    Of the base class remain the schedule and its warm-up, the optimizer's groups, the moving average of the weights,
    the closing of mosaics, the smaller batch when memory runs out, and the validation.

    Args:
        model: What is trained.
        dataset: Its ``train`` and ``val``.
        config: How.
        arguments: The same in Ultralytics' words.
        precision: Arithmetic of the forward and backward pass.
        journal: Takes the rows.
        folder: Of the checkpoints.
    """

    def __init__(
        self,
        model: YOLOv8,
        dataset: Dataset,
        config: TrainConfig,
        arguments: dict[str, Any],
        *,
        precision: str,
        journal: Journal,
        folder: Path,
    ) -> None:
        self.images, self.config, self.precision, self.journal, self.folder = (
            dataset,
            config,
            precision,
            journal,
            folder,
        )
        self.norms: list[float] = []
        self.row: Row = {}
        threads = torch.get_num_threads()
        super().__init__(overrides=arguments)
        torch.set_num_threads(threads)  # the base class leaves one, whatever the machine has
        self.model = model.network.to(memory_format=torch.channels_last)
        self.model.arithmetic = ARITHMETIC.get(precision)

    # What it trains on.

    @override
    def get_dataset(self) -> dict[str, Any]:
        names = dict(enumerate(self.images.classes))
        return {"train": "train", "val": "val", "names": names, "nc": len(names), "channels": 3}

    @override
    def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Loader:
        subset, training = self.images.subset(dataset_path), mode == "train"
        images = Images(subset, self.args, augment=training, classes=self.images.classes)
        if not training:
            return val_loader(images, batch_size=batch_size)
        workers = default_workers(augments=True) if self.config.workers is None else self.config.workers
        return train_loader(images, batch_size=batch_size, seed=self.config.seed, workers=workers)

    @override
    def get_validator(self) -> DetectionValidator:
        validator = DetectionValidator(self.test_loader, save_dir=self.save_dir, args=vars(self.args))
        validator.callbacks.clear()
        return validator

    @override
    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch = super().preprocess_batch(batch)
        return {**batch, "img": batch["img"].contiguous(memory_format=torch.channels_last)}

    # Steps and epochs.

    @override
    def _model_train(self) -> None:
        """The base class calls it when an epoch begins."""
        super()._model_train()
        self.train_loader.sampler.epoch = self.epoch
        random.seed(f"{self.config.seed} {self.epoch}")  # of `multi_scale`
        self.norms.clear()
        self.journal.start_clock()

    @override
    def optimizer_step(self) -> None:
        """Clip, step, average; the base class does not tell the norm."""
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm or math.inf).item()
        if not math.isfinite(self.loss.item()):
            raise DivergedError(self._diverged())
        self.norms.append(norm if math.isfinite(norm) else 0.0)  # fp16 overflows now and then; such a step is skipped
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.ema.update(self.model)

    @override
    def validate(self) -> tuple[Any, Any]:
        self.clock = self.journal.read_clock(len(self.train_loader.dataset))
        return super().validate()  # type: ignore[no-any-return]

    @override
    def save_metrics(self, metrics: dict[str, float]) -> None:
        self.row = make_row(self.epoch + 1, metrics, self.norms)

    @override
    def save_model(self) -> bool:
        """Write the epoch down; the base class calls it last."""
        self.journal.history.append(self.row)
        self.journal.timing.append({"epoch": self.row["epoch"], **self.clock})
        if self.journal.best is self.row:
            save_weights(self.folder / BEST, self.ema.ema)
        save(self.folder / LAST, self._state())
        self.stop |= self.journal.is_over
        self.journal.publish()
        return False

    # Checkpoints.

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "batch_size": self.batch_size,
            **self.journal.state(),
        }

    @override
    def resume_training(self, ckpt: None) -> None:
        """Set the loss and go on from the last checkpoint, if there is one; the base class calls it at the start."""
        self.model.criterion = Criterion(self.model, self.config.label_smoothing)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        if not (self.folder / LAST).exists():
            return
        state = load(self.folder / LAST)
        self.model.load_state_dict(state["model"])
        self.ema.ema.load_state_dict(state["ema"])
        self.ema.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.start_epoch = len(self.journal.history)

    # What the base class shall leave.

    @override
    def run_callbacks(self, event: str) -> None:
        """Trackers and usage statistics would hang here."""

    @override
    def _handle_nan_recovery(self, epoch: int) -> bool:
        return False

    @override
    def final_eval(self) -> None:
        """The best epoch has been validated."""

    def _diverged(self) -> str:
        return (
            f"Training diverged: the loss is {self.loss.item()} in epoch {self.epoch + 1}. Lower `train.lr` "
            f"({self.config.lr:g}), or set `train.precision: float32`."
        )
