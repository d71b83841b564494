"""Step train: the artifact, its lineage and its work folder."""

import json
from pathlib import Path

import pytest
import torch

from fettle import card
from fettle.card import Artifact
from fettle.errors import ArtifactError, SpecError, TrainError
from fettle.models.files import load_model
from fettle.spec import ModelConfig, TrainConfig
from fettle.steps.train import train

MODEL = ModelConfig(family="test_resnet", image_size=32)
TRAIN = TrainConfig.model_validate(
    {"preset": "plain", "epochs": 1, "batch_size": 16, "augment": [], "precision": "float32"}
)
torch.set_num_threads(1)


def test_the_artifact_is_complete_and_a_rerun_gives_the_same_digest(castings_dataset: Path, tmp_path: Path) -> None:
    first = train(castings_dataset, tmp_path / "model", model=MODEL, train=TRAIN)
    again = train(castings_dataset, tmp_path / "again", model=MODEL, train=TRAIN)
    assert first.card.digest == again.card.digest
    assert {"model.safetensors", "model.json", "history.jsonl", "log/timing.jsonl"} <= set(first.card.files)
    assert not [name for name in first.card.files if name.endswith((".ckpt", ".pt", ".pkl"))]
    assert first.card.parents["dataset"]["digest"] == card.read_card(castings_dataset).digest
    assert first.card.summary["arithmetic"] == "float32"
    assert 0 <= first.card.summary["best"]["macro_f1"] <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "model"], "work is removed"
    model, architecture = load_model(first.path)
    assert architecture.classes == ("defective", "ok")
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 2)


def test_a_study_overrides_the_spec_and_is_a_parent(castings_dataset: Path, tmp_path: Path) -> None:
    with card.create(tmp_path / "study", kind="study", name="tune") as draft:
        (draft.path / "overrides.json").write_text(json.dumps({"train.lr": 0.007, "model.options.drop_rate": 0.2}))
    made = train(castings_dataset, tmp_path / "model", model=MODEL, train=TRAIN, study=tmp_path / "study")
    assert made.card.config["train"]["lr"] == 0.007
    assert made.card.config["model"]["options"] == {"drop_rate": 0.2}
    assert made.card.parents["study"]["kind"] == "study"


def test_weights_of_an_artifact_are_a_parent(castings_dataset: Path, tmp_path: Path) -> None:
    first = train(castings_dataset, tmp_path / "first", model=MODEL, train=TRAIN)
    warm = MODEL.model_copy(update={"weights": str(first.path)})
    second = train(castings_dataset, tmp_path / "second", model=warm, train=TRAIN)
    assert second.card.parents["weights"]["digest"] == first.card.digest
    assert second.card.digest != first.card.digest


def test_a_failed_run_writes_nothing_but_its_work(castings_dataset: Path, tmp_path: Path) -> None:
    wild = TRAIN.model_copy(
        update={"optimizer": "sgd", "lr": 10.0, "weight_decay": 1e6, "schedule": "constant", "epochs": 30}
    )
    with pytest.raises(TrainError, match="diverged"):
        train(castings_dataset, tmp_path / "model", model=MODEL, train=wild)
    assert [path.name for path in tmp_path.iterdir()] == [".model.work"]


def test_another_image_size_is_refused(castings_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"`model.image_size` is 64, but the data set holds 32 px"):
        train(castings_dataset, tmp_path / "model", model=MODEL.model_copy(update={"image_size": 64}), train=TRAIN)


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a Fettle artifact"):
        train(tmp_path, tmp_path / "model", model=MODEL, train=TRAIN)


def test_an_altered_study_is_refused(castings_dataset: Path, tmp_path: Path) -> None:
    with card.create(tmp_path / "study", kind="study", name="tune") as draft:
        (draft.path / "overrides.json").write_text("{}")
    (tmp_path / "study" / "overrides.json").write_text('{"train.lr": 1}')
    with pytest.raises(ArtifactError, match="does not match its card"):
        train(castings_dataset, tmp_path / "model", model=MODEL, train=TRAIN, study=tmp_path / "study")
    assert isinstance(Artifact.open(castings_dataset), Artifact)
