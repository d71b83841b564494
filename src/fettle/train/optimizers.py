"""Optimizers and learning-rate schedules, by name."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from fettle.spec.train import TrainConfig

OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "adamw": AdamW,
    "adam": Adam,
    "sgd": lambda groups, **kwargs: SGD(groups, momentum=0.9, nesterov=True, **kwargs),
}


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """Return the optimizer; biases, norms and other vectors are not decayed (He et al. 2019, arXiv:1812.01187)."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    # A fused optimizer unscales fp16 gradients inside its step, after they should have been clipped.
    return OPTIMIZERS[config.optimizer](groups, lr=config.lr, fused=config.precision != "fp16")


def make_schedule(optimizer: Optimizer, config: TrainConfig, *, steps: int) -> LRScheduler:
    """Return the learning rate over ``steps`` optimizer steps, to be advanced after each."""
    return SCHEDULES[config.schedule](optimizer, config, steps)


def _onecycle(optimizer: Optimizer, config: TrainConfig, steps: int) -> LRScheduler:
    """Smith and Topin 2018, arXiv:1708.07120: 30% up from lr/25, then down to almost nothing."""
    return OneCycleLR(optimizer, max_lr=config.lr, total_steps=max(steps, 2))


def _cosine(optimizer: Optimizer, config: TrainConfig, steps: int) -> LRScheduler:
    """Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts."""
    warmup = _warmup_steps(config, steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))

    return LambdaLR(optimizer, factor)


def _constant(optimizer: Optimizer, config: TrainConfig, steps: int) -> LRScheduler:
    warmup = _warmup_steps(config, steps)
    return LambdaLR(optimizer, lambda step: min((step + 1) / (warmup + 1), 1.0))


def _warmup_steps(config: TrainConfig, steps: int) -> int:
    return min(round(config.warmup_epochs / config.epochs * steps), steps - 1)


SCHEDULES: Mapping[str, Callable[[Optimizer, TrainConfig, int], LRScheduler]] = {
    "onecycle": _onecycle,
    "cosine": _cosine,
    "constant": _constant,
}
