"""What a local run trusts of what lies in its folder."""

from pathlib import Path

import pytest

from fettle import card
from fettle.evaluate import results
from fettle.publish import Promotion
from fettle.publish.approval import SignOff
from fettle.spec import load_spec
from fettle.steps.promote import PROMOTION
from pipelines import local
from pipelines.plan import plan


def promoted(objects: Path, repository: str) -> Path:
    """Write what a promotion leaves behind."""
    place = objects / f"promotion-{len(list(objects.glob('*')))}"
    with card.create(place, kind="promotion", name="castings") as draft:
        sign_off = SignOff("baseline-onnxruntime", "onnxruntime", {}, by="gates", reason="", at="")
        done = Promotion(repository, "castings", 1, "onnxruntime", {}, sign_off, "")
        results.save(draft.path / PROMOTION, done)
    return place


def test_a_promotion_whose_version_is_gone_is_made_again(tmp_path: Path) -> None:
    objects, repository = tmp_path / "objects", tmp_path / "repository"
    objects.mkdir()
    there, gone = promoted(objects, str(repository)), promoted(objects, str(tmp_path / "other"))
    (repository / "castings/1").mkdir(parents=True)
    (repository / "castings/1/model.onnx").touch()
    local._drop_lost(objects, plan(load_spec()))
    assert there.exists()
    assert not gone.exists()


def test_a_store_of_others_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a cluster promoted to its own store lies beside, and nothing here may reach that store."""
    objects = tmp_path / "objects"
    objects.mkdir()
    of_cluster = promoted(objects, "s3://fettle-models")

    def ask(address: str) -> None:
        raise AssertionError(address)

    monkeypatch.setattr(local, "open_store", ask)
    local._drop_lost(objects, plan(load_spec()))
    assert of_cluster.exists()
    ours = plan(load_spec(overrides=["serve.repository=s3://fettle-models", "serve.approve=auto"]))
    with pytest.raises(AssertionError, match="s3://fettle-models"):
        local._drop_lost(objects, ours)
