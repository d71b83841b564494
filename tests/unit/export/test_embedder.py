"""Embedders are exported, quantized and pruned as classifiers are; a threshold of theirs is no part of the graph."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fettle.errors import SpecError
from fettle.export import Export, full_curve, set_thresholds
from fettle.export.onnx import describe, export_onnx
from fettle.models import Architecture, read_plan
from fettle.models.registry import build_model
from fettle.optimize.pruning import prune
from fettle.optimize.quantization import quantize
from fettle.runtimes import open_engine
from fettle.spec import PruneConfig, QuantizeConfig

ARCHITECTURE = Architecture("embed", "arcface", ("ada", "bob", "eve"), 32, {"backbone": "resnet10t", "dimensions": 24})
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(ARCHITECTURE).eval()


@pytest.fixture(scope="module")
def export(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Export:
    folder = tmp_path_factory.mktemp("embedder")
    export_onnx(network, ARCHITECTURE, folder / "model.onnx")
    return describe(folder, ARCHITECTURE, recipe="baseline", resize="squash")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_both_runtimes_answer_as_the_network_alone_and_in_a_batch(
    network: torch.nn.Module, export: Export, runtime: str
) -> None:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (ARCHITECTURE.mean, ARCHITECTURE.std))
    with torch.inference_mode():
        expected = network((torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255 - mean) / std).numpy()
    with open_engine(runtime, export.file) as engine:
        (batch,) = engine(IMAGES)
        single = np.concatenate([engine(image[None])[0] for image in IMAGES])
    assert batch.shape == (6, 24)
    assert [(output.name, output.shape) for output in export.outputs] == [("embedding", (24,))]
    tolerance = 2e-2 if runtime == "openvino" else 1e-4  # bfloat16 where the CPU has it
    np.testing.assert_allclose(batch, expected, atol=tolerance)
    np.testing.assert_allclose(single, batch, atol=tolerance)
    np.testing.assert_allclose(np.linalg.norm(batch, axis=1), 1, atol=1e-3)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_stays_near(export: Export, tmp_path: Path, runtime: str) -> None:
    made = quantize(export, tmp_path, IMAGES, config=QuantizeConfig(), runtime=runtime)
    with open_engine("onnxruntime", export.file) as engine, open_engine(runtime, made.file) as small:
        before, after = engine(IMAGES)[0], small(IMAGES)[0]
    assert (before * after).sum(1).min() > 0.95
    assert made.thresholds == export.thresholds


def test_the_threshold_is_for_clients(export: Export, tmp_path: Path) -> None:
    assert export.thresholds == {"similarity": 0.5}
    assert full_curve(export) == {}
    changed = set_thresholds(export, tmp_path, similarity=0.7)
    assert changed.thresholds == {"similarity": 0.7}
    assert changed.file.read_bytes() == export.file.read_bytes()
    with pytest.raises(SpecError, match="no threshold 'confidence': it has similarity"):
        set_thresholds(export, tmp_path, confidence=0.5)
    with pytest.raises(SpecError, match="`similarity` cannot be 2"):
        set_thresholds(export, tmp_path, similarity=2.0)


def test_pruning_keeps_the_dimensions(network: torch.nn.Module) -> None:
    config = PruneConfig(ratio=0.3, width_step=8)
    result = prune(network, config, example_input=torch.zeros(2, 3, 32, 32))
    assert 0.25 < result.removed("params") < 0.4
    assert result.model(torch.zeros(2, 3, 32, 32)).shape == (2, 24)
    assert read_plan(result.model)["prototypes"] == {"in_features": 24, "out_features": 3}
