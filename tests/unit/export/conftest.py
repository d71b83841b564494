"""A network with everything that exporters stumble over: branches, depthwise, attention, global pooling."""

import numpy as np
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


class SmallDetector(nn.Module):
    """Two scales of 64 + 16 cells, two boxes a cell; decoded boxes in pixels and scores in [0, 1]."""

    def __init__(self, classes: int = len(CLASSES), width: int = 16, boxes: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 4, 1), nn.BatchNorm2d(width), nn.SiLU())
        self.down = nn.Sequential(nn.Conv2d(width, width, 3, 2, 1), nn.BatchNorm2d(width), nn.SiLU())
        self.heads = nn.ModuleList(nn.Conv2d(width, boxes * (4 + classes), 1) for _ in range(2))
        self.boxes, self.classes = boxes, classes

    @property
    def predictors(self) -> tuple[nn.Module, ...]:
        return tuple(self.heads)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fine = self.stem(x)
        coarse = self.down(fine)
        fine_boxes, fine_scores = self._decode(self.heads[0](fine), 4)
        coarse_boxes, coarse_scores = self._decode(self.heads[1](coarse), 8)
        return torch.cat((fine_boxes, coarse_boxes), 1), torch.cat((fine_scores, coarse_scores), 1)

    def _decode(self, raw: torch.Tensor, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
        n, _, h, w = raw.shape
        raw = raw.view(n, self.boxes, 4 + self.classes, h, w).permute(0, 1, 3, 4, 2).flatten(1, 3)
        y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        grid = torch.stack((x, y), -1).view(1, -1, 2).repeat(1, self.boxes, 1)
        centre = (raw[..., :2].sigmoid() * 2 - 0.5 + grid) * stride
        half = (raw[..., 2:4].sigmoid() * 2) ** 2 * stride
        return torch.cat((centre - half, centre + half), -1), raw[..., 4:].sigmoid()


@pytest.fixture(scope="session")
def detector() -> nn.Module:
    torch.manual_seed(0)
    net = SmallDetector()
    for head in net.heads:
        nn.init.normal_(head.weight, std=1.0)
    return net.eval()


@pytest.fixture(scope="session")
def detection() -> Architecture:
    return Architecture("detect", "small", CLASSES, SIZE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, SIZE, SIZE, 3), dtype=np.uint8)
