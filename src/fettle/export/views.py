"""Test-time augmentation inside the graph: an image is seen several times, and the answers are averaged."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import nn
from torch.nn import functional as F

from fettle.spec.recipes import TtaConfig


class Views(nn.Module):
    """(N, 3, S, S) pixels in 0..255 to the V views of each, (V * N, 3, S, S), view after view.

    The list is fixed, so that the same image always gets the same answer. What a turn leaves empty is filled with the
    nearest pixels.

    Args:
        config: Which views, and how strong they are.
        image_size: S.
    """

    def __init__(self, config: TtaConfig, *, image_size: int) -> None:
        super().__init__()
        self.views = nn.ModuleList(VIEWS[name](config, image_size) for name in config.views)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.cat([view(pixels) for view in self.views])


class Flip(nn.Module):
    """Left becomes right."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flip(3)


class Rotate(nn.Module):
    """Turn counter-clockwise about the centre, bilinearly.

    Args:
        degrees: Angle.
        image_size: S.
    """

    grid: torch.Tensor

    def __init__(self, degrees: float, image_size: int) -> None:
        super().__init__()
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]])
        self.register_buffer("grid", F.affine_grid(turn, [1, 1, image_size, image_size], align_corners=False))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        grid = self.grid.expand(pixels.shape[0], -1, -1, -1)
        return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


class Contrast(nn.Module):
    """Move every pixel away from middle grey, or towards it.

    Args:
        factor: Of the distance.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return ((pixels - 127.5) * self.factor + 127.5).clamp(0, 255)


VIEWS: Mapping[str, Callable[[TtaConfig, int], nn.Module]] = MappingProxyType(
    {
        "plain": lambda _, __: nn.Identity(),
        "flip": lambda _, __: Flip(),
        "rotate_left": lambda config, size: Rotate(config.degrees, size),
        "rotate_right": lambda config, size: Rotate(-config.degrees, size),
        "contrast_up": lambda config, _: Contrast(1 + config.jitter),
        "contrast_down": lambda config, _: Contrast(1 - config.jitter),
    }
)


class MeanOfViews(nn.Module):
    """(V * N, C), view after view, to the mean over the views, (N, C).

    Args:
        views: V.
    """

    def __init__(self, views: int) -> None:
        super().__init__()
        self.views = views

    def forward(self, answers: torch.Tensor) -> torch.Tensor:
        return answers.reshape(self.views, -1, answers.shape[1]).mean(dim=0)


class UnitLength(nn.Module):
    """(N, D) to length 1."""

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        return F.normalize(embeddings)
