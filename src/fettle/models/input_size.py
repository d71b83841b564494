"""A network that looks at smaller images than it is given: the cheapest pixels are those that are not there.

Clients, data sets and calibration keep their image size; the change of size is a part of the network.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

NAME = "smaller"  # of the module: the exported nodes bear it


class Smaller(nn.Module):
    """(N, C, S, S) to (N, C, s, s), bilinear with antialiasing.

    That is linear in the pixels: two products with a constant matrix, the same in every runtime.

    Args:
        image_size: S.
        input_size: s.
    """

    rows: torch.Tensor

    def __init__(self, image_size: int, input_size: int) -> None:
        super().__init__()
        one_each = torch.eye(image_size)[None, None]
        rows = F.interpolate(one_each, (input_size, image_size), mode="bilinear", antialias=True, align_corners=False)
        self.register_buffer("rows", rows[0, 0].contiguous(), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.rows @ images @ self.rows.T


def look_at_smaller(model: nn.Module, *, image_size: int, input_size: int) -> None:
    """Have ``model`` bring its images to another size before its first layer, in place.

    It is done by a hook, so that names of modules and weights stay as they are.

    Args:
        model: Any network that takes one batch of images, (N, 3, S, S).
        image_size: S.
        input_size: The side that its layers see.
    """
    model.add_module(NAME, Smaller(image_size, input_size))
    model.register_forward_pre_hook(_smaller)


def _smaller(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return model.get_submodule(NAME)(inputs[0]), *inputs[1:]
