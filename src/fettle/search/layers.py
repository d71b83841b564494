"""The layers of a network as a clock sees them: what they compute and how much they read and write."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import torch
from torch import nn

from fettle.models.watch import call_watched
from fettle.optimize.channels import PRUNABLE

LANES = 16  # channels that a vector instruction of 64 bytes takes at once, in float32; kernels fill them up


@dataclass(frozen=True)
class Layer:
    """A convolution or a linear layer.

    Attributes:
        kind: Kernel, stride and whether it is depthwise, such as ``3x3/2`` or ``5x5/1 depthwise``; ``linear``.
        inputs: Channels that it reads.
        outputs: Channels that it gives.
        positions: Height times width of its output.
        kernel: Weights an input and output channel.
        stride: Of the first axis.
        groups: Of a convolution.
    """

    kind: str
    inputs: int
    outputs: int
    positions: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1

    def narrower(self, inputs: int, outputs: int) -> Self:
        """Return the same layer with other widths; a depthwise one keeps a group a channel."""
        groups = outputs if self.groups == self.inputs and self.groups > 1 else self.groups
        return replace(self, inputs=inputs, outputs=outputs, groups=groups)

    @property
    def given(self) -> float:
        """Activations that it gives, in thousands."""
        return self.positions * self.outputs / 1e3

    @property
    def work(self) -> tuple[float, float, float, float]:
        """What time depends on: 1, multiply-accumulates with full vectors, activations, weights; in thousands."""
        inputs = self.inputs // self.groups
        padded = math.ceil(self.outputs / LANES) * LANES * (inputs if inputs < 4 else math.ceil(inputs / 4) * 4)
        macs = self.positions * self.kernel * padded
        activations = self.positions * (self.outputs + self.inputs * self.stride**2)
        return 1.0, macs / 1e3, activations / 1e3, self.kernel * self.outputs * inputs / 1e3

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_layers(model: nn.Module, example_input: torch.Tensor) -> dict[str, Layer]:
    """Return the layers that are called, by name.

    Args:
        model: Network in eval mode.
        example_input: (N, 3, S, S) float32.
    """
    found: dict[str, Layer] = {}

    def note(name: str, module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, PRUNABLE):
            found[name] = _layer(module, output)

    call_watched(model, example_input, note)
    return found


def _layer(module: nn.Module, output: torch.Tensor) -> Layer:
    if isinstance(module, nn.Linear):
        return Layer("linear", module.in_features, module.out_features, output[0, ..., 0].numel())
    assert isinstance(module, nn.Conv2d)
    kernel, stride = module.kernel_size, module.stride[0]
    depthwise = " depthwise" if 1 < module.groups == module.in_channels else ""
    return Layer(
        f"{kernel[0]}x{kernel[1]}/{stride}{depthwise}",
        module.in_channels,
        module.out_channels,
        output.shape[2] * output.shape[3],
        kernel[0] * kernel[1],
        stride,
        module.groups,
    )
