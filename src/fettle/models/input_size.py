"""A network that looks at smaller images than it is given: the cheapest pixels are those that are not there.

Clients, data sets and calibration keep their image size; the change of size is a part of the network. What it answers
in pixels, such as boxes, is in pixels of the image that it is given.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

NAME = "smaller"  # of the module: the exported nodes bear it
STRIP = 28  # rows that are made at once
GRID = 8  # pixels that sizes are multiples of, where a network asks for no other


class Smaller(nn.Module):
    """(N, C, S, S) to (N, C, s, s), bilinear with antialiasing.

    That is linear in the pixels: products with a constant matrix, the same in every runtime. A row of the result asks
    for a few rows of the image only, so that the matrix is cut into strips: nearly all of it is zero.

    Args:
        image_size: S.
        input_size: s.
    """

    def __init__(self, image_size: int, input_size: int) -> None:
        super().__init__()
        one_each = torch.eye(image_size)[None, None]
        rows = F.interpolate(one_each, (input_size, image_size), mode="bilinear", antialias=True, align_corners=False)
        self.spans: list[tuple[int, int]] = []
        for number, strip in enumerate(rows[0, 0].tensor_split(max(input_size // STRIP, 1))):
            asked = strip.any(0).nonzero().flatten().tolist()
            begin, end = asked[0], asked[-1] + 1
            self.spans.append((begin, end))
            self.register_buffer(f"strip{number}", strip[:, begin:end].contiguous(), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        strips = [(self.get_buffer(f"strip{number}"), *span) for number, span in enumerate(self.spans)]
        rows = torch.cat([strip @ images[:, :, begin:end] for strip, begin, end in strips], 2)
        return torch.cat([rows[..., begin:end] @ strip.T for strip, begin, end in strips], 3)


def look_at_smaller(model: nn.Module, *, image_size: int, input_size: int) -> None:
    """Have ``model`` bring its images to another size before its first layer, in place.

    A network whose answer is in pixels has a method ``look_at_smaller`` of its own, which takes ``input_size``.

    Args:
        model: Any network that takes one batch of images, (N, 3, S, S).
        image_size: S.
        input_size: The side that its layers see.
    """
    own = getattr(model, "look_at_smaller", None)
    if own is not None:
        own(input_size)
    else:
        shrink_before(model, image_size=image_size, input_size=input_size)


def size_grid(model: nn.Module) -> int:
    """Return what the sides of the images that a network looks at are multiples of."""
    return getattr(model, "size_grid", GRID)


def shrink_before(module: nn.Module, *, image_size: int, input_size: int) -> None:
    """Have ``module`` take smaller images than it is given.

    It is done by a hook, so that names of modules and weights stay as they are.
    """
    module.add_module(NAME, Smaller(image_size, input_size))
    module.register_forward_pre_hook(_smaller)


def _smaller(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return module.get_submodule(NAME)(inputs[0]), *inputs[1:]
