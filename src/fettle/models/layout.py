"""The memory format in which gradients of a network are computed."""

import torch
from torch import nn

VECTOR = 16  # float32 values in the widest vector register of a CPU


def memory_format(model: nn.Module) -> torch.memory_format:
    """Return channels-last, which is faster, unless it would corrupt the heap.

    In that format oneDNN's backward pass of a pointwise convolution with a stride (the shortcut of a ResNet) writes
    beyond its workspace where the input has fewer channels than fit into a vector register, as pruning may leave them:
    https://github.com/uxlfoundation/oneDNN/issues/6035, with PyTorch 2.14 too.
    """
    overrun = any(isinstance(module, nn.Conv2d) and _overruns(module) for module in model.modules())
    return torch.contiguous_format if overrun else torch.channels_last


def _overruns(layer: nn.Conv2d) -> bool:
    return set(layer.kernel_size) == {1} and max(layer.stride) > 1 and layer.in_channels // layer.groups < VECTOR
