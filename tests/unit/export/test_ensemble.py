"""Members and their vote as one export: what it answers, and who cannot vote together."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fettle.errors import ArtifactError, ServeError, SpecError
from fettle.export import open_export
from fettle.export.ensemble import Member, combine, open_members
from fettle.runtimes import open_engine

WEIGHTS = {"a": 0.5, "b": 0.3, "c": 0.2}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)


def answers(export, runtime, images):
    with open_engine(runtime, export.file) as engine:
        return engine(images)


def test_it_answers_the_weighted_mean_and_the_votes(ensemble_export, linear_export, images) -> None:
    export = ensemble_export()
    votes = [answers(linear_export(seed=seed), runtime, images)[0]
             for seed, runtime in ((1, "onnxruntime"), (2, "openvino"), (3, "onnxruntime"))]  # fmt: skip
    found, told = answers(export, "ensemble", images)
    np.testing.assert_allclose(told, np.stack(votes, axis=1), atol=1e-6)
    np.testing.assert_allclose(found, sum(w * vote for w, vote in zip(WEIGHTS.values(), votes, strict=True)), atol=1e-6)
    assert [output.name for output in export.outputs] == ["probabilities", "votes"]
    assert [output.shape for output in export.outputs] == [found.shape[1:], told.shape[1:]]


def test_members_are_found_again_and_count_in_its_size(ensemble_export) -> None:
    export = open_export(ensemble_export().path)
    assert {name: member.runtime for name, member in open_members(export).items()} == {
        "a": "onnxruntime", "b": "openvino", "c": "onnxruntime",
    }  # fmt: skip
    assert {file.relative_to(export.path).as_posix() for file in export.files} == {
        "ensemble.json", "vote.onnx", *(f"members/{name}/model.onnx" for name in WEIGHTS),
    }  # fmt: skip


def test_the_precision_is_the_coarsest(linear_export, tmp_path: Path) -> None:
    exact, coarse = linear_export(seed=1), replace(linear_export(seed=2), precision="int8")
    members = {"a": Member(exact, "onnxruntime"), "b": Member(coarse, "onnxruntime")}
    assert combine(members, {"a": 0.5, "b": 0.5}, tmp_path, recipe="default").precision == "int8"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ("ok", "bad", "unsure")}, r"b and a cannot vote together: they have other classes, ok, bad"),
        (
            {"classes": ("defective", "ok", "unsure")},
            "the same classes in another order, defective, ok, unsure and ok,",
        ),
        ({"resize": "crop"}, r"b takes \(8, 8, 3\) \(crop\), a \(8, 8, 3\) \(squash\)"),
        ({"task": "embed"}, "b has the task embed: classifiers vote"),
    ],
)
def test_who_cannot_vote_together(linear_export, tmp_path: Path, change, words) -> None:
    members = {
        "a": Member(linear_export(seed=1), "onnxruntime"),
        "b": Member(replace(linear_export(seed=2), **change), "onnxruntime"),
    }
    with pytest.raises(ArtifactError, match=words):
        combine(members, {"a": 0.5, "b": 0.5}, tmp_path, recipe="default")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weights", [{"a": 1.0}, {"a": 0.7, "b": 0.7}, {"a": 1.5, "b": -0.5}, {"a": 0.5, "x": 0.5}])
def test_weights_that_are_none(linear_export, tmp_path: Path, weights) -> None:
    members = {name: Member(linear_export(seed=1), "onnxruntime") for name in "ab"}
    with pytest.raises(SpecError, match="`weights` must be one of each member"):
        combine(members, weights, tmp_path, recipe="default")


def test_a_damaged_or_closed_ensemble_says_so(ensemble_export, images, tmp_path: Path) -> None:
    export = ensemble_export()
    engine = open_engine("ensemble", export.file)
    engine.close()
    with pytest.raises(ServeError, match="closed"):
        engine(images)
    described = json.loads(export.file.read_text())
    (tmp_path / "ensemble.json").write_text(json.dumps({"members": described["members"]}))
    with pytest.raises(ArtifactError, match="describes no ensemble"):
        open_engine("ensemble", tmp_path / "ensemble.json")
    (tmp_path / "ensemble.json").write_text(json.dumps(described))
    with pytest.raises(ArtifactError, match="does not exist"):
        open_engine("ensemble", tmp_path / "ensemble.json")
