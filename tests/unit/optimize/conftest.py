"""A network with what pruners and quantizers stumble over: branches, depthwise, attention, pooling."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from fettle.export import Export
from fettle.export.onnx import describe, export_onnx
from fettle.models import Architecture
from fettle.optimize.quantization import quantize
from fettle.spec import QuantizeConfig

SIZE, CLASSES = 32, ("crack", "ok", "scratch")


class SmallNet(nn.Module):
    def __init__(self, width: int = 32) -> None:
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


def make_network() -> nn.Module:
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
def network() -> nn.Module:
    return make_network()


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """The network as a float ONNX export."""
    folder = tmp_path_factory.mktemp("source")
    architecture = Architecture("classify", "small", CLASSES, SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    export_onnx(make_network(), architecture, folder / "model.onnx")
    return describe(folder, architecture, recipe="baseline", resize="squash")


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Photographs are smooth, noise is not: blocks of colour."""
    blocks = np.random.default_rng(0).integers(0, 256, (16, 4, 4, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="session")
def made(source: Export, images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Export]:
    """Quantize the source; the same call twice quantizes once."""

    @functools.cache
    def make(runtime: str, precision: str = "int8", calibration: str = "minmax", mode: str = "static") -> Export:
        folder = tmp_path_factory.mktemp("made")
        config = QuantizeConfig(precision=precision, calibration=calibration, mode=mode)
        return quantize(source, folder, images, config=config, runtime=runtime)

    return make
