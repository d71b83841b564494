"""The training step: normalize on the device, loss, average; and the row of an epoch."""

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
from fettle.train.average import MovingAverage
from fettle.train.images import Batch
from fettle.train.objectives import Objective
from fettle.train.optimizers import make_optimizer, make_schedule, rates
from fettle.train.result import DivergedError


class Fitter(pl.LightningModule):
    """What Lightning runs. Its state dict is the model's, under ``model.``, and the average's, under ``average.``.

    Args:
        model: Network to train, in place.
        architecture: Gives mean and std.
        objective: Of the task.
        config: How to train.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, architecture: Architecture, objective: Objective, config: TrainConfig) -> None:
        super().__init__()
        # Lightning keeps the mode that it finds, and a network that was loaded is in eval mode.
        self.model = model.train().to(memory_format=torch.channels_last)
        self.objective, self.config = objective, config
        self.average = MovingAverage(self.model, config.ema) if config.ema else None
        for name in ("mean", "std"):
            values = 255 * torch.tensor(getattr(architecture, name)).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.rates: dict[str, float] = {}  # of the last step
        # Over the epoch's steps: the loss, its parts, the gradient norm, steps.
        self.sums = torch.zeros(3 + len(objective.parts), dtype=torch.float64)

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.average.model if self.average is not None else self.model

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """(N, S, S, 3) uint8 to normalized (N, 3, S, S) float32; the memory format becomes channels_last for free."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.std

    @override
    def on_train_epoch_start(self) -> None:
        self.sums.zero_()

    @override
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout, stochastic depth and MixUp depend on the seed and the step alone: there is no state to restore.
        self.rates = rates(self.trainer.optimizers[0])
        torch.manual_seed((self.config.seed * 1_000_003 + self.global_step) * 1_009 + self.global_rank)

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        loss, parts = self.objective.loss(self.model, self.normalize(batch[0]), batch[1])
        values = torch.stack([loss.detach(), *parts]).tolist()
        if not math.isfinite(values[0]):
            raise DivergedError(self._diverged(values[0]))
        self.sums[:-2] += torch.tensor(values, dtype=torch.float64)
        self.sums[-1] += 1
        return loss

    @override
    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        limit = self.config.clip_norm or math.inf
        self.sums[-2] += nn.utils.clip_grad_norm_(self.model.parameters(), limit).item()

    @override
    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update(self.model, self.global_step)

    @override
    def on_validation_epoch_start(self) -> None:
        self.objective.reset()

    @override
    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.objective.update(self.kept, self.normalize(batch[0]), batch[1], dataloader_idx)

    def epoch_row(self) -> dict[str, float]:
        """Return the numbers of the epoch that has just been validated, reduced over all processes."""
        *sums, steps = self.trainer.strategy.reduce(self.sums.to(self.device), reduce_op="sum").tolist()
        loss, *parts, norm = (each / steps for each in sums)
        return {
            "train_loss": loss,
            **self.objective.scores(),
            **dict(zip(self.objective.parts, parts, strict=True)),
            **self.rates,
            "gradient_norm": norm,
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
            f"learning rate {self.rates['lr']:.2g}. Lower `train.lr` ({self.config.lr:g}), clip gradients "
            "(`train.clip_norm: 1`), or set `train.precision: float32`."
        )
