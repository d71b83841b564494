"""A network that looks at smaller images: the same function as resizing first, in torch and in both runtimes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fettle.export.onnx import describe, export_onnx
from fettle.models import Architecture, build_model, load_model, save_model
from fettle.models.input_size import Smaller
from fettle.runtimes import open_engine

ARCHITECTURE = Architecture("classify", "test_resnet", ("a", "b"), 64)
SMALL = replace(ARCHITECTURE, input_size=40)


def networks() -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    whole, small = build_model(ARCHITECTURE).eval(), build_model(SMALL).eval()
    small.load_state_dict(whole.state_dict())
    return whole, small


def test_it_is_the_network_behind_an_antialiased_resize() -> None:
    whole, small = networks()
    images = torch.rand(2, 3, 64, 64)
    resized = F.interpolate(images, (40, 40), mode="bilinear", antialias=True, align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(small(images), whole(resized))
        assert not torch.allclose(small(images), whole(images))


@pytest.mark.parametrize(("size", "smaller"), [(320, 288), (224, 128), (112, 64), (96, 88), (64, 24)])
def test_its_strips_are_the_whole_resize(size: int, smaller: int) -> None:
    images = torch.rand(1, 3, size, size)
    expected = F.interpolate(images, (smaller, smaller), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(Smaller(size, smaller)(images), expected, rtol=1e-5, atol=1e-5)


def test_it_is_saved_and_loaded_as_it_is(tmp_path: Path) -> None:
    _, small = networks()
    save_model(tmp_path, small, SMALL)
    loaded, architecture = load_model(tmp_path)
    assert architecture == SMALL
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), small(images))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_exported_graph_takes_images_of_the_whole_size(tmp_path: Path, runtime: str) -> None:
    _, small = networks()
    exported = describe(tmp_path, SMALL, recipe="small", resize="squash")
    export_onnx(small, SMALL, exported.file)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    with open_engine(runtime, exported.file) as engine:
        assert engine(images)[0].shape == (2, 2)


def test_its_resize_stays_in_float(tmp_path: Path) -> None:
    import onnx

    from fettle.optimize.nodes import float_nodes, onnx_graph

    _, small = networks()
    exported = describe(tmp_path, SMALL, recipe="small", resize="squash")
    export_onnx(small, SMALL, exported.file)
    graph = onnx_graph(onnx.load(exported.file).graph)
    resizing = [name for name in graph if name.startswith("smaller/")]
    assert resizing
    assert set(resizing) <= set(float_nodes(graph, []))
