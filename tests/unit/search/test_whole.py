"""The whole network in its forms: where INT8 loses too much, the layers that suffer most stay in float."""

import json
from pathlib import Path

import pytest
import torch

from fettle.export.manifest import read_manifest
from fettle.runtimes import open_engine
from fettle.search.forms import Form
from fettle.search.subject import Subject
from fettle.search.track import Track
from fettle.search.whole import Standing, stand
from fettle.spec import ModelConfig, TrainConfig
from fettle.steps.search import open_subject
from fettle.steps.train import train

torch.set_num_threads(1)
LARGE, RUINOUS = 20.0, 300.0
FLOAT, INT8 = Form("onnxruntime", "float32"), Form("onnxruntime", "int8")
TRAIN = TrainConfig.model_validate(
    {"preset": "plain", "epochs": 4, "batch_size": 16, "augment": [], "precision": "float32", "workers": 0}
)


@pytest.fixture(scope="module")
def spoilt(castings_dataset: Path, tmp_path_factory: pytest.TempPathFactory):
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


def forms_of(subject: Subject, folder: Path, max_drop: float) -> dict[Form, Standing]:
    with Track(subject.calibration) as track:
        exported = track.export(subject.model, subject.architecture)
        found = stand(track, exported, [FLOAT, INT8], subject=subject, folder=folder, max_drop=max_drop)
    return {each.form: each for each in found}


def test_int8_gets_its_layers_back_until_it_holds(spoilt, tmp_path: Path) -> None:
    subject = spoilt(LARGE)
    plain, mixed = forms_of(subject, tmp_path, 0.9), forms_of(subject, tmp_path, 0.05)
    assert plain[INT8].kept == 0
    assert plain[INT8].score < plain[FLOAT].score - 0.05, "or the test says nothing"
    assert 1 <= mixed[INT8].kept <= 3
    assert mixed[INT8].score >= mixed[FLOAT].score - 0.05
    with open_engine("onnxruntime", read_manifest(tmp_path / str(INT8)).file) as engine:
        assert engine(subject.calibration[:2])[0].shape == (2, 2)


def test_int8_that_ruins_a_network_is_mixed_too(spoilt, tmp_path: Path) -> None:
    found = forms_of(spoilt(RUINOUS), tmp_path, 0.9)
    assert found[INT8].kept >= 1
    assert found[INT8].score >= found[FLOAT].score - 0.05


def test_a_standing_comes_back() -> None:
    standing = Standing(INT8, 1.5, 0.9, kept=2)
    assert Standing.from_json(json.loads(json.dumps(standing.to_json()))) == standing
