"""A trained network, and what spoils it for INT8."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fettle.search.subject import Subject
from fettle.spec import ModelConfig, TrainConfig
from fettle.steps.search import open_subject
from fettle.steps.train import train

torch.set_num_threads(1)
TRAIN = TrainConfig.model_validate(
    {"preset": "plain", "epochs": 4, "batch_size": 16, "augment": [], "precision": "float32", "workers": 0}
)
# With 8-bit weights 20 is harmless and 140 ruinous; with 7 bits, where 8 overflow, half of that.
LARGE, RUINOUS = 40.0, 300.0


@pytest.fixture
def suffering(spoilt: Callable[[float], Subject]) -> Subject:
    """A network that INT8 costs more than 5 points, and that layers in float bring back."""
    return spoilt(LARGE)


@pytest.fixture
def ruined(spoilt: Callable[[float], Subject]) -> Subject:
    """A network that answers the same for all images in INT8."""
    return spoilt(RUINOUS)


@pytest.fixture(scope="session")
def spoilt(castings_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Subject]:
    """Return a function that gives a trained network large weights for a channel that is 0: 8 bits lose the others."""
    made = train(
        castings_dataset, tmp_path_factory.mktemp("trained") / "model",
        model=ModelConfig(family="test_resnet", image_size=32), train=TRAIN,
    )  # fmt: skip

    def spoil(weight: float) -> Subject:
        subject = open_subject(made.path, castings_dataset, TRAIN)
        stem = subject.model.conv1
        with torch.no_grad():
            stem[1].weight[0] = stem[1].bias[0] = 0
            stem[3].weight[:, 0] = weight
        return subject

    return spoil
