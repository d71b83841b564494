"""An ensemble on a real Triton: its answers are the offline vote, and its members stay what it names."""

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest

from fettle.errors import SpecError, StorageError
from fettle.export.manifest import Export
from fettle.publish import Promotion, history, live_version, rollback
from fettle.publish.config import served_versions
from fettle.publish.steps import live_steps, pins
from fettle.runtimes import open_engine
from fettle.serve.keep import Keeper
from fettle.serve.triton import LocalTriton
from fettle.storage import Store

Maker = Callable[..., Export]
Publish = Callable[..., Promotion]


def served(store: Store, model: str) -> list[int]:
    return list(served_versions(store.read(f"{model}/config.pbtxt").decode(), source=model))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_it_answers_as_offline_with_the_votes_and_their_versions(
    triton: LocalTriton, publish: Publish, ensemble_export: Maker, images: np.ndarray, protocol
) -> None:
    export = ensemble_export()
    publish(export, "ensemble")
    triton.load("m")
    with open_engine("ensemble", export.file) as engine:
        expected = dict(zip(("probabilities", "votes"), engine(images), strict=True))
    with triton.client("m", protocol) as client:
        for rows in (slice(0, 1), slice(1, 4), slice(4, len(images))):
            answer = client.infer(images[rows])
            for name, values in expected.items():
                np.testing.assert_allclose(answer.outputs[name], values[rows], atol=1e-5)
        (said,) = client.predict(images[:1])
        assert client.describe().classes == export.classes
    told = said.to_json()
    assert {name: (vote["model"], vote["version"]) for name, vote in told["votes"].items()} == {
        name: (f"m.{name}", "1") for name in "abc"
    }
    np.testing.assert_allclose(list(said.votes["b"].probabilities.values()), expected["votes"][0, 1], atol=1e-5)
    assert asdict(said)["label"] == export.classes[expected["probabilities"][0].argmax()]


def test_members_answer_alone(
    triton: LocalTriton, publish: Publish, ensemble_export: Maker, linear_export: Maker, images: np.ndarray
) -> None:
    publish(ensemble_export(), "ensemble")
    triton.load("m")
    with open_engine("openvino", linear_export(seed=2).file) as engine, triton.client("m.b") as client:
        np.testing.assert_allclose(client.infer(images).outputs["probabilities"], engine(images)[0], atol=1e-5)


def test_only_what_changed_gets_a_new_version(publish: Publish, repository: Store, ensemble_export: Maker) -> None:
    publish(ensemble_export(a=1, b=2, c=3), "ensemble")
    assert publish(ensemble_export(a=1, b=2, c=3), "ensemble").created is False
    publish(ensemble_export(a=1, b=4, c=3), "ensemble")
    assert live_steps(repository, "m") == {"m.a": 1, "m.b": 2, "m.c": 1, "m.vote": 1}
    assert served(repository, "m.b") == [1, 2]  # the old one is there for who still asks it
    publish(ensemble_export(a=1, b=5, c=3), "ensemble")
    assert served(repository, "m.b") == [2, 3]
    assert pins(repository, "m.b") == {2, 3}
    rollback(repository, "m")
    assert live_steps(repository, "m")["m.b"] == 2
    rollback(repository, "m")
    assert live_steps(repository, "m")["m.b"] == 1
    assert set(served(repository, "m.b")) >= {1, 2}
    publish(ensemble_export(a=1, b=4, c=3), "ensemble")  # back to files that are there
    assert live_steps(repository, "m")["m.b"] == 2
    assert [event.version for event in history(repository, "m")] == [1, 2, 3, 2, 1, 4]


def test_a_member_that_is_promoted_alone_leaves_the_ensemble_as_it_is(
    triton: LocalTriton,
    publish: Publish,
    repository: Store,
    ensemble_export: Maker,
    linear_export: Maker,
    images: np.ndarray,
) -> None:
    publish(ensemble_export(), "ensemble")
    triton.load("m")
    before = triton.client("m").infer(images).outputs["votes"]
    publish(linear_export(seed=9), "onnxruntime", name="m.a")
    assert triton.load("m.a") == "2"
    assert triton.load("m") == "1"
    np.testing.assert_array_equal(triton.client("m").infer(images).outputs["votes"], before)
    assert served(repository, "m.a") == [1, 2]
    assert rollback(repository, "m.a") == 1
    assert triton.load("m.a") == "1"


def test_a_member_cannot_go_back_behind_the_ensemble(
    publish: Publish, repository: Store, ensemble_export: Maker
) -> None:
    publish(ensemble_export(b=2, c=3, a=1), "ensemble")
    publish(ensemble_export(b=4, c=3, a=1), "ensemble")
    with pytest.raises(StorageError, match=r"m\.b: an ensemble answers by version 2"):
        rollback(repository, "m.b")


def test_a_member_cannot_change_its_runtime_under_the_ensemble(
    publish: Publish, repository: Store, ensemble_export: Maker
) -> None:
    publish(ensemble_export(a=1, b=2, c=3), "ensemble")
    with pytest.raises(SpecError, match=r"another `serve.model_name`"):
        publish(ensemble_export(b=2, a=1, c=3), "ensemble")  # a and b in each other's runtime
    assert live_version(repository, "m") == 1


def test_serve_follows_an_ensemble_and_its_members(
    triton: LocalTriton, publish: Publish, repository: Store, ensemble_export: Maker
) -> None:
    publish(ensemble_export(a=1, b=2, c=3), "ensemble")
    keeper = Keeper(triton, repository, ())
    keeper.start()
    assert keeper.versions == {"m": "1", "m.a": "1", "m.b": "1", "m.c": "1", "m.vote": "1"}
    publish(ensemble_export(a=1, b=4, c=3), "ensemble")
    keeper.look()
    assert keeper.versions["m"] == keeper.versions["m.b"] == "2"
