"""The training step: normalize on the device, mix, forward, loss; and the scores of an epoch."""

import math
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Optimizer
from typing_extensions import override

from fettle.models.architecture import Architecture
from fettle.spec.train import TrainConfig
from fettle.train.batches import Batch
from fettle.train.objectives import Loss, Objective
from fettle.train.optimizers import make_optimizer, make_schedule
from fettle.train.regularize import Distillation, mixup
from fettle.train.result import DivergedError

VAL, PROBE = 0, 1  # validation loaders: the val split, and as many training images


class Fitter(pl.LightningModule):
    """What Lightning runs. Its state dict is the model's, under ``model.``.

    Args:
        model: Network to train, in place.
        architecture: Gives the classes, mean and std.
        objective: Of the task.
        criterion: Loss to minimize.
        config: How to train.
        distillation: Adds a teacher's loss.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        model: nn.Module,
        architecture: Architecture,
        objective: Objective,
        criterion: Loss,
        config: TrainConfig,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)
        self.objective, self.criterion, self.config = objective, criterion, config
        self.classes = len(architecture.classes)
        self.distillation = distillation
        for name in ("mean", "std"):
            values = 255 * torch.tensor(getattr(architecture, name)).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.scores = nn.ModuleList(objective.metrics(self.classes) for _ in (VAL, PROBE))
        self.rate = 0.0  # of the last step
        self.val_sums = torch.zeros(2, 2)  # a row a loader: loss, images
        self.sums = torch.zeros(3, dtype=torch.float64)  # over the epoch's steps: loss, gradient norm, steps

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """(N, S, S, 3) uint8 to normalized (N, 3, S, S) float32; the memory format becomes channels_last for free."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.std

    @override
    def on_fit_start(self) -> None:
        if self.distillation is not None:
            self.distillation.teacher.to(self.device)

    @override
    def on_train_epoch_start(self) -> None:
        self.sums.zero_()

    @override
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout, stochastic depth and MixUp depend on the seed and the step alone: there is no state to restore.
        self.rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        torch.manual_seed((self.config.seed * 1_000_003 + self.global_step) * 1_009 + self.global_rank)

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        images, targets = self.normalize(batch[0]), self.objective.targets(batch[1], self.classes)
        if self.config.mixup > 0:
            images, targets = mixup(images, targets, self.config.mixup)
        outputs = self.model(images)
        loss = self.criterion(outputs, targets)
        if self.distillation is not None:
            loss = self.distillation(loss, images, outputs)
        value = loss.item()
        if not math.isfinite(value):
            raise DivergedError(self._diverged(value))
        self.sums[0] += value
        self.sums[2] += 1
        return loss

    @override
    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        limit = self.config.clip_norm or math.inf
        self.sums[1] += nn.utils.clip_grad_norm_(self.model.parameters(), limit).item()

    @override
    def on_validation_epoch_start(self) -> None:
        self.val_sums = torch.zeros(2, 2, device=self.device)
        for scores in self.scores:
            scores.reset()  # type: ignore[operator]

    @override
    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        images, labels = batch
        outputs = self.model(self.normalize(images)).float()
        self.val_sums[dataloader_idx, 0] += self.objective.plain_loss(outputs, labels)
        self.val_sums[dataloader_idx, 1] += len(labels)
        self.scores[dataloader_idx].update(self.objective.probabilities(outputs), labels)  # type: ignore[operator]

    def epoch_row(self) -> dict[str, float]:
        """Return the numbers of the epoch that has just been validated, reduced over all processes."""
        loss, norm, steps = self.trainer.strategy.reduce(self.sums.to(self.device), reduce_op="sum").tolist()
        plain, images = self.trainer.strategy.reduce(self.val_sums, reduce_op="sum")[VAL].tolist()
        val = {name: value.item() for name, value in self.scores[VAL].compute().items()}  # type: ignore[operator]
        probe = self.scores[PROBE].compute()["accuracy"].item()  # type: ignore[operator]
        return {
            "train_loss": loss / steps,
            "val_loss": plain / images,
            **val,
            "lr": self.rate,
            "train_accuracy": probe,
            "gap": probe - val["accuracy"],
            "gradient_norm": norm / steps,
        }

    @override
    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = make_optimizer(self.model, self.config)
        schedule = make_schedule(optimizer, self.config, steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["sums"] = self.sums

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.sums.copy_(checkpoint["sums"])

    def _diverged(self, loss: float) -> str:
        return (
            f"Training diverged: the loss is {loss} in epoch {self.current_epoch + 1}, step {self.global_step + 1}, at "
            f"learning rate {self.rate:.2g}. Lower `train.lr` ({self.config.lr:g}), clip gradients "
            "(`train.clip_norm: 1`), or set `train.precision: float32`."
        )
