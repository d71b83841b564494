"""Families that answer as classifiers: a detector by its best boxes, an embedder by cosines."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from fettle.errors import SpecError
from fettle.models import Architecture
from fettle.models.embedder import CosineClassifier
from fettle.models.files import load_model, save_model, save_parts
from fettle.models.registry import build_model, family_names
from fettle.models.voter import BestBox
from fettle.models.weights import load_weights

CLASSES = ("a", "b", "c")
ARCFACE = Architecture("classify", "arcface", CLASSES, 32, {"backbone": "resnet10t", "dimensions": 16})
YOLOV5 = Architecture("classify", "yolov5_resnet", CLASSES, 32, {"backbone": "resnet10t", "width": 32})


class Told(torch.nn.Module):
    """A detector that says what it is told."""

    def forward(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(*scores.shape[:2], 4), scores


def test_a_class_is_as_likely_as_its_best_box() -> None:
    scores = torch.tensor([[[0.1, 0.6, 0.0], [0.3, 0.2, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
    found = BestBox(Told()).eval()(scores).softmax(1)
    torch.testing.assert_close(found, torch.tensor([[1 / 3, 2 / 3, 0.0], [1 / 3] * 3]), atol=1e-5, rtol=0)


def test_they_are_families_of_the_task() -> None:
    assert {"arcface", "yolov5_resnet", "yolov8"} <= set(family_names("classify"))


def test_cosines_are_the_logits() -> None:
    torch.manual_seed(0)
    network = build_model(ARCFACE).eval()
    assert isinstance(network, CosineClassifier)
    images = torch.rand(4, 3, 32, 32)
    prototypes = F.normalize(network.embedder.prototypes.weight)
    torch.testing.assert_close(network(images), 30 * network.embedder(images) @ prototypes.T)
    with pytest.raises(SpecError, match=r"`model\.options\.scale` must be above 0"):
        build_model(Architecture("classify", "arcface", CLASSES, 32, {"scale": 0.0}))


@pytest.mark.parametrize("architecture", [ARCFACE, YOLOV5], ids=["arcface", "yolov5"])
def test_they_are_kept_and_found_as_they_were(architecture: Architecture, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, images = build_model(architecture).eval(), torch.rand(2, 3, 32, 32)
    save_model(tmp_path, network, architecture)
    again, found = load_model(tmp_path)
    assert found == architecture
    torch.testing.assert_close(again(images), network(images))


def test_backbone_and_head_lie_apart_as_they_were_best_and_last(tmp_path: Path) -> None:
    best, final = (build_model(ARCFACE) for _ in range(2))
    save_model(tmp_path, final, ARCFACE)
    save_parts(tmp_path, best, tmp_path / "model.safetensors")
    files = {file.name: load_file(file) for file in (tmp_path / "checkpoints").iterdir()}
    assert set(files) == {f"{epoch}-{part}.safetensors" for epoch in ("best", "final") for part in ("backbone", "head")}
    for epoch, network in {"best": best, "final": final}.items():
        for part, module in network.parts.items():
            for name, value in module.state_dict().items():
                torch.testing.assert_close(files[f"{epoch}-{part}.safetensors"][name], value)


def test_a_backbone_alone_can_be_started_from(tmp_path: Path) -> None:
    source, other = build_model(ARCFACE), build_model(ARCFACE)
    save_model(tmp_path, source, ARCFACE)
    save_parts(tmp_path, source, tmp_path / "model.safetensors")
    before = other.embedder.head[1].weight.clone()
    load_weights(other, str(tmp_path / "checkpoints/final-backbone.safetensors"))
    for mine, theirs in zip(other.embedder.backbone.parameters(), source.embedder.backbone.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(other.embedder.head[1].weight, before)
