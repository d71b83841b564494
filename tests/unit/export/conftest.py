"""A network with everything that exporters stumble over: branches, depthwise, attention, global pooling."""

import pytest
import torch
from torch import nn

from fettle.models import Architecture

SIZE, CLASSES = 32, ("crack", "ok", "scratch")


class SmallNet(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, groups=width), nn.BatchNorm2d(width), nn.SiLU())
        self.squeeze, self.excite = nn.Conv2d(width, 4, 1), nn.Conv2d(4, width, 1)
        self.expand = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False), nn.BatchNorm2d(2 * width))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(2 * width, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.depthwise(x)
        y = y * self.excite(self.squeeze(y.mean((2, 3), keepdim=True)).relu()).sigmoid()
        x = self.expand(x + y).relu()
        return self.head(self.drop(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    net = SmallNet()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training, so that folding them is put to the test
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    net.head.weight.data *= 10
    return net.eval()


@pytest.fixture
def architecture() -> Architecture:
    return Architecture("classify", "small", CLASSES, SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
