"""Step tune: the study artifact, on a real network."""

import json
from pathlib import Path

import pytest
import torch

from fettle import card
from fettle.errors import ArtifactError, SpecError
from fettle.spec import ModelConfig, Range, TrainConfig, TuneConfig
from fettle.steps.gather import gather
from fettle.steps.train import train
from fettle.steps.tune import tune

MODEL = ModelConfig(family="test_resnet", image_size=32)
TRAIN = TrainConfig.model_validate(
    {"preset": "plain", "epochs": 2, "batch_size": 16, "augment": [], "precision": "float32"}
)
TUNE = TuneConfig(trials=3, space={"train.lr": Range(low=1e-4, high=1e-2, log=True)})
torch.set_num_threads(1)


def test_the_study_is_never_below_the_spec_and_trains_to_what_it_says(castings_dataset: Path, tmp_path: Path) -> None:
    made = tune(castings_dataset, tmp_path / "study", model=MODEL, train=TRAIN, tune=TUNE)
    study = json.loads((made.path / "study.json").read_text())
    assert [trial["number"] for trial in study["trials"]] == [0, 1, 2]
    assert study["best"]["value"] <= study["default"]["value"]
    overrides = json.loads((made.path / "overrides.json").read_text())
    assert overrides == (study["best"]["params"] if study["best"]["number"] else {})
    assert [path.name for path in tmp_path.iterdir()] == ["study"], "work is removed"
    again = tune(castings_dataset, tmp_path / "again", model=MODEL, train=TRAIN, tune=TUNE)
    assert again.card.digest == made.card.digest
    model = train(castings_dataset, tmp_path / "model", model=MODEL, train=TRAIN, study=made.path)
    assert model.card.summary["best"]["val_loss"] == pytest.approx(study["best"]["value"])


def test_a_given_work_folder_is_kept_and_shared(castings_dataset: Path, tmp_path: Path) -> None:
    one = TUNE.model_copy(update={"trials": 1, "epochs": 1})
    for out in ("first", "second"):
        made = tune(castings_dataset, tmp_path / out, model=MODEL, train=TRAIN, tune=one, work=tmp_path / "work")
        assert len(json.loads((made.path / "study.json").read_text())["trials"]) == 1
    assert (tmp_path / "work" / "journal.log").exists()
    assert not list((tmp_path / "work").glob("trial-*")), "checkpoints of finished trials are removed"


def test_workers_one_after_the_other_find_what_one_finds(castings_dataset: Path, tmp_path: Path) -> None:
    """As `fettle run` has them: the first takes all trials."""
    tuning = TUNE.model_copy(update={"workers": 2, "epochs": 1})
    settings = {"model": MODEL, "train": TRAIN, "tune": tuning}
    shared = str(tmp_path / "work")
    trials = {
        name: tune(castings_dataset, tmp_path / name, **settings, worker=name, shared=shared).path
        for name in ("tune-1", "tune-2")
    }
    assert [card.read_card(path).summary["trials"] for path in trials.values()] == [3, 0]
    made = gather(castings_dataset, trials, tmp_path / "study", **settings, shared=shared)
    assert made.card.kind == "study"
    assert set(made.card.parents) == {"dataset", "tune-1", "tune-2"}
    alone = tune(
        castings_dataset, tmp_path / "alone", model=MODEL, train=TRAIN, tune=TUNE.model_copy(update={"epochs": 1})
    )
    for name in ("study.json", "overrides.json"):
        assert (made.path / name).read_text() == (alone.path / name).read_text()
    assert not [file for file in (tmp_path / "work").rglob("*") if file.is_file() and file.name != ".lock"]
    model = train(castings_dataset, tmp_path / "model", model=MODEL, train=TRAIN, study=made.path)
    assert model.card.parents["study"]["digest"] == made.card.digest
    with pytest.raises(ArtifactError, match="not the 'trials' that is needed"):
        gather(castings_dataset, {"tune-1": alone.path}, tmp_path / "wrong", **settings)


def test_workers_need_a_place_that_they_share(castings_dataset: Path, tmp_path: Path) -> None:
    tuning = TUNE.model_copy(update={"workers": 2})
    with pytest.raises(SpecError, match=r"`tune.workers` is 2, but they share no place \(FETTLE_WORK\): set it to 1"):
        tune(castings_dataset, tmp_path / "out", model=MODEL, train=TRAIN, tune=tuning, worker="tune-1")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TuneConfig(trials=0), r"`tune.trials` is 0"),
        (TUNE.model_copy(update={"space": {"recipes.a.prune.ratio": Range(low=0.1, high=0.5)}}), "cannot search"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    castings_dataset: Path, tmp_path: Path, config: TuneConfig, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        tune(castings_dataset, tmp_path / "study", model=MODEL, train=TRAIN, tune=config)
    assert not list(tmp_path.iterdir())
