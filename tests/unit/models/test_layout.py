"""The memory format in which gradients are computed."""

import subprocess
import sys

import pytest
import timm
import torch
from torch import nn

from fettle.models.layout import memory_format

# Backward passes of shortcuts with few channels, each of other sizes: in channels-last a process survives few hundred.
TRAIN = """
import torch
from torch import nn
from fettle.models.layout import memory_format
torch.set_num_threads(2)
torch.manual_seed(0)
for step in range(300):
    channels, filters, size = (int(torch.randint(*limits, ())) for limits in ((1, 16), (8, 64), (4, 29)))
    layer = nn.Conv2d(channels, filters, 1, stride=2)
    layout = memory_format(layer)
    layer.to(memory_format=layout)
    layer(torch.rand(32, channels, 2 * size, 2 * size).to(memory_format=layout)).square().mean().backward()
"""


def test_a_network_is_trained_in_channels_last() -> None:
    assert memory_format(timm.create_model("resnet18", num_classes=2)) is torch.channels_last


@pytest.mark.parametrize(("layer", "overruns"), [
    (nn.Conv2d(8, 32, 1, stride=2), True),
    (nn.Conv2d(16, 32, 1, stride=2), False),
    (nn.Conv2d(8, 32, 1), False),
    (nn.Conv2d(8, 32, 3, stride=2), False),
])  # fmt: skip
def test_a_narrow_shortcut_is_not(layer: nn.Module, overruns: bool) -> None:
    wanted = torch.contiguous_format if overruns else torch.channels_last
    assert memory_format(nn.Sequential(nn.Conv2d(3, layer.in_channels, 3), layer)) is wanted


def test_narrow_shortcuts_do_not_corrupt_the_heap() -> None:
    done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
