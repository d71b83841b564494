"""A trained network, what spoils it for INT8, and one who searches it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from fettle.search import machine
from fettle.search.ground import survey
from fettle.search.shapes import Shape
from fettle.search.space import open_study
from fettle.search.stages import Stages
from fettle.search.subject import Subject
from fettle.search.track import Track
from fettle.search.trials import Notebook, Rung, Trial
from fettle.search.worker import Worker
from fettle.spec import ModelConfig, SearchConfig, TrainConfig
from fettle.steps.search import open_subject
from fettle.steps.train import train
from fettle.tune.claims import Claims

torch.set_num_threads(1)
TRAIN = TrainConfig.model_validate(
    {"preset": "plain", "epochs": 4, "batch_size": 16, "augment": [], "precision": "float32", "workers": 0}
)
# With 8-bit weights 20 is harmless and 140 ruinous; with 7 bits, where 8 overflow, half of that.
LARGE, RUINOUS = 40.0, 300.0
SHAPE = Shape(32, 0, "even", "group_norm", 8, 0.6)
CONFIG = SearchConfig(minutes=20, max_drop=0.02, precisions=["int8"], width_steps=[8], levers=["width"])


@pytest.fixture
def working(suffering: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """Who has surveyed the network, and tried nothing yet."""
    monkeypatch.setattr(machine, "VARIANTS", 2)
    notebook, claims = Notebook(tmp_path / "search"), Claims(tmp_path / "workers")
    with Track(suffering.calibration) as track:
        ground = survey(
            suffering, CONFIG, runtimes=["onnxruntime"], notebook=notebook, tables=tmp_path / "tables", track=track
        )
        study = open_study(tmp_path / "journal.log", ground.space)
        yield Worker(Stages(suffering, CONFIG, ground, notebook, track, study), claims)
    claims.close()


@pytest.fixture
def stages(working: Worker) -> Stages:
    """What its trials go through."""
    return working.stages


@pytest.fixture
def trial_of(stages: Stages) -> Callable[..., Trial]:
    """Return a function that notes a trial: its number, its latency and its rungs, of the whole network."""

    def note(number: int, ms: float, *rungs: Rung) -> Trial:
        trial = Trial(number, SHAPE, latencies={str(stages.ground.form): ms}, rungs=rungs)
        stages.notebook.save(trial, stages.subject.model, stages.subject.architecture)
        return trial

    return note


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
