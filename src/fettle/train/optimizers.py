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
    """Return the optimizer.

    Biases, norms and other vectors are not decayed (He et al. 2019, arXiv:1812.01187). What ``model.backbone`` holds
    learns at ``config.backbone_lr`` times the rate of the rest.
    """
    groups: list[dict[str, Any]] = []
    for name, share, parameters in _parts(model, config.backbone_lr):
        about = {"name": name, "lr": share * config.lr}
        matrices, vectors = ([each for each in parameters if (each.ndim > 1) is decayed] for decayed in (True, False))
        groups.append({**about, "params": matrices, "weight_decay": config.weight_decay})
        groups.append({**about, "params": vectors, "weight_decay": 0.0})
    # A fused optimizer unscales fp16 gradients inside its step, after they should have been clipped.
    return OPTIMIZERS[config.optimizer](groups, lr=config.lr, fused=config.precision != "fp16")


def rates(optimizer: Optimizer) -> dict[str, float]:
    """Return the learning rates now: ``lr``, and that of the backbone if it has its own."""
    return {group["name"]: float(group["lr"]) for group in optimizer.param_groups}


def _parts(model: nn.Module, backbone_lr: float) -> list[tuple[str, float, list[nn.Parameter]]]:
    """Return name, share of the learning rate and parameters of each part that learns at its own rate."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    backbone = getattr(model, "backbone", None)
    if backbone is None or backbone_lr == 1:
        return [("lr", 1.0, parameters)]
    slow = {id(parameter) for parameter in backbone.parameters()}
    return [
        ("lr", 1.0, [parameter for parameter in parameters if id(parameter) not in slow]),
        ("lr_backbone", backbone_lr, [parameter for parameter in parameters if id(parameter) in slow]),
    ]


def make_schedule(optimizer: Optimizer, config: TrainConfig, *, steps: int) -> LRScheduler:
    """Return the learning rate over ``steps`` optimizer steps, to be advanced after each."""
    return SCHEDULES[config.schedule](optimizer, config, steps)


def _onecycle(optimizer: Optimizer, _: TrainConfig, steps: int) -> LRScheduler:
    """Smith and Topin 2018, arXiv:1708.07120: 30% up from lr/25, then down to almost nothing."""
    return OneCycleLR(optimizer, max_lr=[group["lr"] for group in optimizer.param_groups], total_steps=max(steps, 2))


def _cosine(optimizer: Optimizer, config: TrainConfig, steps: int) -> LRScheduler:
    """Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts, down to ``final_lr``."""
    warmup = _warmup_steps(config, steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        share = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))
        return config.final_lr + (1 - config.final_lr) * share

    return LambdaLR(optimizer, factor)


def _constant(optimizer: Optimizer, config: TrainConfig, steps: int) -> LRScheduler:
    warmup = _warmup_steps(config, steps)
    return LambdaLR(optimizer, lambda step: min((step + 1) / (warmup + 1), 1.0))


def _warmup_steps(config: TrainConfig, steps: int) -> int:
    share = config.warmup_epochs / config.epochs or config.warmup_share
    return min(round(share * steps), steps - 1)


SCHEDULES: Mapping[str, Callable[[Optimizer, TrainConfig, int], LRScheduler]] = {
    "onecycle": _onecycle,
    "cosine": _cosine,
    "constant": _constant,
}
