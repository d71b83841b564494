"""CBAM: Convolutional Block Attention Module (Woo, Park, Lee, Kweon 2018, arXiv:1807.06521)."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


class ChannelAttention(nn.Module):
    """Weigh channels: sigmoid(MLP(average over positions) + MLP(maximum over positions)), equation 2.

    Args:
        channels: Channels of the input.
        reduction: How many times narrower the hidden layer of the shared MLP is.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 8)
        # 1x1 convolutions are the MLP of the paper, on (N, C, 1, 1); pruning and export follow them easily.
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        average = self.mlp(x.mean((2, 3), keepdim=True))
        maximum = self.mlp(x.amax((2, 3), keepdim=True))
        return x * torch.sigmoid(average + maximum)


class SpatialAttention(nn.Module):
    """Weigh positions: sigmoid(conv([average over channels; maximum over channels])), equation 3.

    Args:
        kernel_size: Size of the convolution, 7 in the paper.
    """

    linked = True  # see :func:`unlinked`

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = x if self.linked else x.detach()
        weights = torch.sigmoid(self.conv(torch.cat([seen.mean(1, keepdim=True), seen.amax(1, keepdim=True)], dim=1)))
        return x * (weights if self.linked else weights.detach())


class CBAM(nn.Module):
    """Channel attention, then spatial attention: (N, C, H, W) to the same shape."""

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = SpatialAttention(kernel_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        attended: torch.Tensor = self.spatial(self.channel(x))
        return attended


@contextlib.contextmanager
def unlinked(model: nn.Module) -> Iterator[None]:
    """Hide from who follows gradients that spatial attention reads all channels.

    It takes any number of them, and gives one. Torch-Pruning takes that one for one of the channels that it weighs,
    and would keep all of them.
    """
    gates = [module for module in model.modules() if isinstance(module, SpatialAttention)]
    try:
        for gate in gates:
            gate.linked = False
        yield
    finally:
        for gate in gates:
            gate.linked = True
