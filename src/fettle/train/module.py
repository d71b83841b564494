"""The training step: normalize on the device, loss, average; and the row of an epoch."""

import math
import signal
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Optimizer
from typing_extensions import override

from fettle.models.architecture import Architecture
from fettle.models.layout import memory_format
from fettle.spec.train import TrainConfig
from fettle.train.average import MovingAverage
from fettle.train.images import Batch
from fettle.train.objectives import Objective
from fettle.train.optimizers import make_optimizer, make_schedule, rates
from fettle.train.result import DivergedError
from fettle.train.team import average_statistics
from fettle.train.trainer import PatientTrainer


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
        self.format = memory_format(model)
        self.model = model.train().to(memory_format=self.format)
        self.objective, self.config = objective, config
        self.average = MovingAverage(self.model, config.ema) if config.ema else None
        for name in ("mean", "std"):
            values = 255 * torch.tensor(getattr(architecture, name)).view(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.rates: dict[str, float] = {}  # of the last step
        # Over the epoch's steps and all processes: the loss, its parts, the gradient norm, steps.
        self.sums = torch.zeros(3 + len(objective.parts), dtype=torch.float64)
        self._told_to_stop = False  # this process, by SIGTERM

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.average.model if self.average is not None else self.model

    def normalize(self, images: torch.Tensor) -> torch.Tensor:
        """(N, S, S, 3) uint8 to normalized (N, 3, S, S) float32; they come as channels-last."""
        normalized = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return normalized.contiguous(memory_format=self.format)

    @override
    def on_train_start(self) -> None:
        # Lightning's own handler, which is there since a moment, talks to the others, who may be at something else.
        if self.trainer.world_size > 1:
            signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, *_: object) -> None:
        self._told_to_stop = True

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
        mean, share = self._of_all(torch.stack([loss.detach(), *parts]), len(batch[0]))
        values = mean.tolist()
        if not math.isfinite(values[0]):
            raise DivergedError(self._diverged(values[0]))
        self.sums[:-2] += torch.tensor(values, dtype=torch.float64)
        self.sums[-1] += 1
        return share * loss

    def _of_all(self, values: torch.Tensor, images: int) -> tuple[torch.Tensor, float]:
        """Return the mean over the images of all processes, and the share of this one in units of the mean share.

        They hear on the way whether one of them was told to stop. So all of them find a loss that is not finite, or
        leave, in the same step.
        """
        world = self.trainer.world_size
        if world == 1:
            return values, 1.0
        told = torch.cat([values.double() * images, values.new_tensor([images, self._told_to_stop]).double()])
        *sums, total, stop = self.trainer.strategy.reduce(told, reduce_op="sum").tolist()
        cast(PatientTrainer, self.trainer).leaving = stop > 0
        return torch.tensor(sums) / total, world * images / total

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
        self.settle()

    def settle(self) -> None:
        """Make the networks of all processes the same, which they are but for what their batch norms have seen."""
        if self.trainer.world_size > 1:
            average_statistics(self.model, *([self.average.model] if self.average is not None else []))

    @override
    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.objective.update(self.kept, self.normalize(batch[0]), batch[1], dataloader_idx)

    def epoch_row(self) -> dict[str, float]:
        """Return the numbers of the epoch that has just been validated, over all processes and alike in all."""
        *sums, steps = self.sums.tolist()
        loss, *parts, norm = (each / steps for each in sums)
        row = {
            "train_loss": loss,
            **self.objective.scores(),
            **dict(zip(self.objective.parts, parts, strict=True)),
            **self.rates,
            "gradient_norm": norm,
        }
        return self.trainer.strategy.broadcast(row)  # processors round differently, and the rows decide when to stop

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
