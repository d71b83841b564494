"""PAN: features go down from coarse to fine, and up again (Liu et al. 2018, arXiv:1803.01534)."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from fettle.models.yolov5.blocks import ConvNorm, CSPBlock


class PAN(nn.Module):
    """Features of three scales, fine to coarse, to as many of ``width`` channels that know of each other.

    Args:
        channels: Of the three inputs.
        width: Channels of every output.
        depth: Bottlenecks a block.
        activation: Makes an activation.
    """

    def __init__(self, channels: Sequence[int], *, width: int, depth: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()

        def block() -> CSPBlock:
            return CSPBlock(2 * width, width, depth=depth, activation=activation)

        self.lateral = nn.ModuleList(ConvNorm(each, width, activation=activation) for each in channels)
        self.down = nn.ModuleList(block() for _ in channels[1:])
        self.shrink = nn.ModuleList(ConvNorm(width, width, 3, stride=2, activation=activation) for _ in channels[1:])
        self.up = nn.ModuleList(block() for _ in channels[1:])

    def forward(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        fine, middle, coarse = (lateral(each) for lateral, each in zip(self.lateral, features, strict=True))
        middle = self.down[0](torch.cat([F.interpolate(coarse, scale_factor=2.0), middle], dim=1))
        fine = self.down[1](torch.cat([F.interpolate(middle, scale_factor=2.0), fine], dim=1))
        middle = self.up[0](torch.cat([self.shrink[0](fine), middle], dim=1))
        coarse = self.up[1](torch.cat([self.shrink[1](middle), coarse], dim=1))
        return [fine, middle, coarse]
