"""Test-time augmentation in the graph is test-time augmentation in PyTorch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.v2 import functional as TF

from fettle.errors import OptimizeError
from fettle.export.onnx import export_onnx
from fettle.export.served import Served
from fettle.export.views import Rotate, Views
from fettle.models import Architecture
from fettle.models.registry import build_model
from fettle.runtimes import open_engine
from fettle.spec import TtaConfig


def by_hand(
    network: nn.Module, architecture: Architecture, images: np.ndarray, config: TtaConfig
) -> list[torch.Tensor]:
    """The network's answer to each view, made by torchvision."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    views = {
        "plain": pixels,
        "flip": TF.horizontal_flip(pixels),
        "contrast_up": (127.5 + (pixels - 127.5) * (1 + config.jitter)).clamp(0, 255),
        "contrast_down": 127.5 + (pixels - 127.5) * (1 - config.jitter),
    }
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (architecture.mean, architecture.std))
    with torch.inference_mode():
        return [network((views[name] / 255 - mean) / std) for name in config.views]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_classifier_gives_the_mean_of_the_probabilities(
    network: nn.Module, architecture: Architecture, images: np.ndarray, tmp_path: Path, runtime: str
) -> None:
    config = TtaConfig(views=["plain", "flip", "contrast_up", "contrast_down"])
    export_onnx(network, architecture, tmp_path / "model.onnx", tta=config)
    expected = torch.stack([each.softmax(1) for each in by_hand(network, architecture, images, config)]).mean(0)
    with open_engine(runtime, tmp_path / "model.onnx") as engine:
        (found,) = engine(images)
        (alone,) = engine(images[:1])
    tolerance = 2e-2 if runtime == "openvino" else 1e-5  # bfloat16 where the CPU has it
    np.testing.assert_allclose(found, expected.numpy(), atol=tolerance)
    np.testing.assert_allclose(alone, expected[:1].numpy(), atol=tolerance)


def test_the_default_views_in_the_graph_are_those_of_the_module(
    network: nn.Module, architecture: Architecture, images: np.ndarray, tmp_path: Path
) -> None:
    export_onnx(network, architecture, tmp_path / "model.onnx", tta=TtaConfig())
    with torch.inference_mode():
        (expected,) = Served(network, architecture, TtaConfig()).eval()(torch.from_numpy(images))
    with open_engine("onnxruntime", tmp_path / "model.onnx") as engine:
        np.testing.assert_allclose(engine(images)[0], expected.numpy(), atol=1e-5)


def test_embeddings_of_views_have_a_mean_of_length_1(images: np.ndarray, tmp_path: Path) -> None:
    options = {"backbone": "resnet10t", "dimensions": 24}
    architecture = Architecture("embed", "arcface", ("ada", "bob"), images.shape[1], options)
    torch.manual_seed(0)
    network, config = build_model(architecture).eval(), TtaConfig(views=["plain", "flip"])
    export_onnx(network, architecture, tmp_path / "model.onnx", tta=config)
    expected = nn.functional.normalize(torch.stack(by_hand(network, architecture, images, config)).mean(0))
    with open_engine("onnxruntime", tmp_path / "model.onnx") as engine:
        np.testing.assert_allclose(engine(images)[0], expected.numpy(), atol=1e-5)


def test_turns_are_those_of_torchvision_away_from_the_border() -> None:
    row = torch.linspace(0, 255, 32)
    pixels = (row[:, None] * 0.7 + row * 0.3).expand(1, 3, 32, 32)
    inside = (..., slice(8, 24), slice(8, 24))
    for degrees in (10.0, -10.0):
        expected = TF.rotate(pixels, degrees, interpolation=TF.InterpolationMode.BILINEAR)
        torch.testing.assert_close(Rotate(degrees, 32)(pixels)[inside], expected[inside], atol=0.05, rtol=0)


def test_view_after_view() -> None:
    pixels = torch.rand(2, 3, 8, 8) * 255
    views = Views(TtaConfig(views=["plain", "flip"]), image_size=8)(pixels)
    torch.testing.assert_close(views[:2], pixels)
    torch.testing.assert_close(views[2:], pixels.flip(3))


def test_boxes_have_no_mean(detector: nn.Module, detection: Architecture) -> None:
    with pytest.raises(OptimizeError, match="'detect' have no mean"):
        Served(detector, detection, TtaConfig())
