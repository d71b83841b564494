"""Convolutions as YOLOv5 stacks them."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "silu": lambda: nn.SiLU(inplace=True),
    "relu": lambda: nn.ReLU(inplace=True),
}
# Batches of detectors are small: statistics move slowly, and a larger epsilon keeps flat channels quiet.
MOMENTUM, EPS = 0.03, 1e-4


class ConvNorm(nn.Sequential):
    """Convolution without bias (the norm has one), batch norm, activation; the stride alone changes the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, activation: Callable[[], nn.Module]
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, momentum=MOMENTUM, eps=EPS),
            activation(),
        )


class Bottleneck(nn.Module):
    """1x1, then 3x3, and the input added."""

    def __init__(self, channels: int, *, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.reduce = ConvNorm(channels, channels, activation=activation)
        self.conv = ConvNorm(channels, channels, 3, activation=activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.conv(self.reduce(x))
        return out


class CSPBlock(nn.Module):
    """Bottlenecks on one half of the channels, beside the other half (CSPNet, Wang et al. 2019, arXiv:1911.11929).

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        depth: Bottlenecks.
        activation: Makes an activation.
    """

    def __init__(self, inputs: int, outputs: int, *, depth: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        half = outputs // 2
        self.deep = ConvNorm(inputs, half, activation=activation)
        self.shallow = ConvNorm(inputs, half, activation=activation)
        self.blocks = nn.Sequential(*(Bottleneck(half, activation=activation) for _ in range(depth)))
        self.merge = ConvNorm(2 * half, outputs, activation=activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.merge(torch.cat([self.blocks(self.deep(x)), self.shallow(x)], dim=1))
        return out
