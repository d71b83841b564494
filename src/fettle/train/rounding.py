"""Quantization-aware training: layers that round their inputs and weights, as they will when they are served in INT8.

Gradients pass the rounding as if it were not there (Jacob et al. 2018, arXiv:1712.05877). What comes of it is an
ordinary float network that suffers little from the grid: it is exported, and quantized in each runtime, like any other.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping

import torch
from torch import nn
from torch.nn import functional as F

LEVELS = 255  # of activations, unsigned and asymmetric; weights are symmetric, a scale an output channel
MOST = 127
TINY = 1e-12
log = logging.getLogger("fettle")


@contextlib.contextmanager
def rounding(model: nn.Module, *, wanted: bool = True) -> Iterator[None]:
    """Have the convolutions and linear layers of ``model`` round within the context, in place.

    Only the classes of modules change: names, parameters and copies stay what they are. A batch norm behind a
    convolution scales whole output channels, so rounding before it is folded is rounding after. A layer whose class is
    derived from torch's has arithmetic of its own, and does not round: the log says so.
    """
    layers = [module for module in model.modules() if type(module) in ROUNDED] if wanted else []
    if wanted and (others := sum(isinstance(module, tuple(ROUNDED)) for module in model.modules()) - len(layers)):
        log.warning("%d layers of classes that are not torch's do not round while they learn", others)
    for layer in layers:
        layer.__class__ = ROUNDED[type(layer)]
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = PLAIN[type(layer)]


def round_input(x: torch.Tensor) -> torch.Tensor:
    """Round to 256 levels between the smallest and the largest number of the batch, 0 among them."""
    x = x.float()
    low, high = x.detach().amin().clamp(max=0), x.detach().amax().clamp(min=0)
    scale = ((high - low) / LEVELS).clamp(min=TINY)
    zero = (-low / scale).round().clamp(0, LEVELS).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, LEVELS)


def round_weight(weight: torch.Tensor) -> torch.Tensor:
    """Round to -127..127 steps of each output channel's largest weight."""
    weight = weight.float()
    scale = weight.detach().flatten(1).abs().amax(1).clamp(min=TINY) / MOST
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -MOST, MOST)


class RoundingConv2d(nn.Conv2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self._conv_forward(round_input(input), round_weight(self.weight), self.bias)
        return answer


class RoundingLinear(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.linear(round_input(input), round_weight(self.weight), self.bias)


ROUNDED: Mapping[type[nn.Module], type[nn.Module]] = {nn.Conv2d: RoundingConv2d, nn.Linear: RoundingLinear}
PLAIN: Mapping[type[nn.Module], type[nn.Module]] = {rounding: plain for plain, rounding in ROUNDED.items()}
