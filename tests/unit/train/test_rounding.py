"""Quantization-aware training: rounding is that of the runtime, and what was learnt with it is an ordinary network."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fettle.data.dataset import Dataset
from fettle.export import Export
from fettle.export.onnx import describe, export_onnx
from fettle.export.served import Served
from fettle.models.architecture import Architecture
from fettle.optimize.quantization import quantize
from fettle.runtimes import open_engine
from fettle.spec import QuantizeConfig, TrainConfig
from fettle.train.fit import fit
from fettle.train.rounding import RoundingConv2d, rounding

SIZE, CLASSES = 32, ("left", "middle", "right")
ARCHITECTURE = Architecture("classify", "small", CLASSES, SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
OUTLIER = 300.0


def make_network() -> nn.Sequential:
    torch.manual_seed(1)
    first, second = nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.Conv2d(16, 32, 3, 2, 1)
    flat = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 3))
    return nn.Sequential(first, nn.BatchNorm2d(16), nn.ReLU(), second, nn.ReLU(), *flat)


def with_outlier(network: nn.Sequential) -> nn.Sequential:
    """Return the same function with a channel so large that one scale for all of them leaves the others no levels."""
    network = copy.deepcopy(network).eval()
    norm, second = network[1], network[3]
    norm.weight.data[0] *= OUTLIER
    norm.bias.data[0] *= OUTLIER
    second.weight.data[:, 0] /= OUTLIER
    return network


def export(network: nn.Module, folder: Path) -> Export:
    folder.mkdir()
    export_onnx(network.eval(), ARCHITECTURE, folder / "model.onnx")
    return describe(folder, ARCHITECTURE, recipe="baseline", resize="squash")


def served_in_int8(network: nn.Module, images: np.ndarray, folder: Path) -> np.ndarray:
    folder.mkdir()
    source = export(network, folder / "float")
    (folder / "int8").mkdir()
    made = quantize(source, folder / "int8", images, config=QuantizeConfig(), runtime="onnxruntime")
    with open_engine("onnxruntime", made.file) as engine:
        return engine(images)[0]


@torch.inference_mode()
def ask(network: nn.Module, images: np.ndarray) -> np.ndarray:
    return Served(network, ARCHITECTURE).eval()(torch.from_numpy(images))[0].numpy()


def test_it_answers_as_the_runtime_does_in_int8(dataset: Dataset, tmp_path: Path) -> None:
    network, images = with_outlier(make_network()), np.ascontiguousarray(dataset.subset("calib").images)
    network[-1].weight.data *= 30
    expected, plain = served_in_int8(network, images, tmp_path / "served"), ask(network, images)
    with rounding(network):
        rounded = ask(network, images)
    assert np.abs(plain - expected).mean() > 0.01, "or the test says nothing"
    assert np.abs(rounded - expected).mean() < 0.3 * np.abs(plain - expected).mean()


def test_a_copy_rounds_its_own_weights_and_nothing_is_left_of_it() -> None:
    network, x = make_network().eval(), torch.rand(2, 3, SIZE, SIZE)
    names, before = list(network.state_dict()), network(x)
    with rounding(network):
        other = copy.deepcopy(network)
        other[0].weight.data.zero_()
        assert isinstance(other[0], RoundingConv2d)
        assert not torch.equal(other(x), network(x))
        assert list(network.state_dict()) == names
    assert type(network[0]) is nn.Conv2d
    assert torch.equal(network(x), before)


@pytest.mark.parametrize("name", ["0.weight", "3.weight", "3.bias", "7.weight"])
def test_gradients_pass_the_rounding(name: str) -> None:
    network = make_network()
    with rounding(network):
        network(torch.rand(4, 3, SIZE, SIZE)).square().sum().backward()
    assert network.get_parameter(name).grad.abs().sum() > 0


def test_what_int8_has_ruined_is_learnt_again(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    train = TrainConfig.model_validate(
        {"preset": "plain", "epochs": 8, "lr": 3e-3, "batch_size": 16, "augment": [], "precision": "float32", "ema": 0}
    )
    network = with_outlier(fit(make_network(), ARCHITECTURE, dataset, train, folder=tmp_path / "fit").model)
    images, test = (dataset.subset(name) for name in ("calib", "test"))

    def loss(network: nn.Module, folder: str) -> float:
        asked = np.concatenate([images.images, test.images])
        answers = served_in_int8(network, asked, tmp_path / folder)[len(images) :]
        return float(-np.log(answers[np.arange(len(test)), test.labels].clip(1e-6)).mean())

    ruined = loss(network, "ruined")
    whole = -np.log(ask(network, test.images)[np.arange(len(test)), test.labels]).mean()
    assert ruined > 4 * whole, "or the test says nothing"
    with rounding(network):
        learnt = fit(network, ARCHITECTURE, dataset, train, folder=tmp_path / "qat").model
    assert loss(learnt, "learnt") < ruined / 4


def test_a_layer_with_arithmetic_of_its_own_is_left_alone_and_told(caplog: pytest.LogCaptureFixture) -> None:
    class Same(nn.Conv2d):
        pass

    network = nn.Sequential(nn.Conv2d(3, 4, 1), Same(4, 4, 1))
    with rounding(network):
        assert [type(layer) for layer in network] == [RoundingConv2d, Same]
    assert "1 layers of classes that are not torch's do not round" in caplog.text
    caplog.clear()
    with rounding(network, wanted=False):
        assert type(network[0]) is nn.Conv2d
    assert not caplog.text
