"""Pruned to a speed that is measured, in a real runtime."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from fettle.errors import OptimizeError
from fettle.models import Architecture
from fettle.optimize.pruning import prune
from fettle.search import speed
from fettle.search.speed import prune_for_speed
from fettle.spec import PruneConfig, SpeedConfig

SIZE = 48
ARCHITECTURE = Architecture("classify", "wide", ("a", "b"), SIZE)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)


class Wide(nn.Module):
    """Nearly all of its time goes into convolutions whose widths can shrink."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 64, 128, 128)
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in itertools.pairwise(widths))
        )
        self.head = nn.Linear(widths[-1], 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x).mean((2, 3)))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return Wide().eval()


def find(network: nn.Module, **wanted: object) -> speed.SpeedResult:
    def remove(config: PruneConfig):
        return prune(network, config, example_input=torch.zeros(1, 3, SIZE, SIZE))

    config = SpeedConfig.model_validate(
        {"runtime": "onnxruntime", "precision": "float32", "width_steps": [8], **wanted}
    )
    return prune_for_speed(network, ARCHITECTURE, PruneConfig(), config, prune=remove, images=IMAGES)


def test_it_is_as_fast_as_was_asked_by_the_least_pruning(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PROBES", 3)
    found = find(network, times=1.3)
    assert found.chosen.times.estimate >= 1.3
    assert found.chosen.removed == pytest.approx(found.pruned.removed("params"))
    enough = [probe for probe in found.probes if probe.times.estimate >= 1.3]
    assert found.chosen.removed == min(probe.removed for probe in enough)
    assert next(probe.ratio for probe in found.probes) == pytest.approx(speed.MOST / 2)
    assert all(module.out_channels % 8 == 0 for module in found.pruned.model.modules() if isinstance(module, nn.Conv2d))


def test_out_of_reach_names_the_nearest(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PROBES", 1)
    with pytest.raises(OptimizeError, match=r"`prune\.speed\.times` 20 is out of reach .*the nearest is width step 8"):
        find(network, times=20)


def test_widths_that_cannot_be_pruned_to_are_told(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PROBES", 1)
    with pytest.raises(OptimizeError, match=r"none of the width steps \[512\] can be pruned to"):
        find(network, times=1.3, width_steps=[512])
