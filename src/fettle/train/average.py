"""The moving average of the weights, which is validated and kept instead of the weights themselves."""

import copy
from typing import Self

import torch
from torch import nn
from typing_extensions import override


class MovingAverage(nn.Module):
    """Averages every parameter and statistic of a network (Polyak and Juditsky 1992).

    The average is short at first: after t steps the decay is (1 + t) / (10 + t), up to ``decay``.

    Args:
        model: Network that is trained; a copy holds the average.
        decay: Share of the old average that a step leaves, in the long run.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, steps: int) -> None:
        """Take in the weights after ``steps`` optimizer steps."""
        share = 1 - min(self.decay, (1 + steps) / (10 + steps))
        own, new = self.model.state_dict(), model.state_dict()
        floating = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in floating], [new[name] for name in floating], share)
        for name in own.keys() - set(floating):
            own[name].copy_(new[name])

    @override
    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: Lightning puts its modules into train mode."""
        return self
