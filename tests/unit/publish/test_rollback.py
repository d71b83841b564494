"""Rollback, over a folder and over S3."""

from collections.abc import Callable

import pytest

from fettle.errors import ArtifactError, StorageError
from fettle.export.manifest import Export
from fettle.publish import approve, history, live_version, promote, rollback
from fettle.spec.serve import ServeConfig
from fettle.storage import Store

Maker = Callable[..., Export]


def publish(store: Store, export: Export, runtime: str = "onnxruntime") -> int:
    sign_off = approve(export, runtime, by="Ada", reason="test")
    return promote(store, export, runtime, model_name="m", config=ServeConfig(), sign_off=sign_off).version


def test_it_brings_the_whole_configuration_back_and_deletes_nothing(store: Store, linear_export: Maker) -> None:
    publish(store, linear_export(seed=1), "onnxruntime")
    first = store.read("m/config.pbtxt")
    publish(store, linear_export(seed=2, classes=("a", "b")), "openvino")
    before = store.list()
    assert rollback(store, "m", by="Ada") == 1
    assert store.read("m/config.pbtxt") == first
    assert store.list() == before
    assert [(event.action, event.version) for event in history(store, "m")] == [
        ("promote", 1),
        ("promote", 2),
        ("rollback", 1),
    ]


def test_it_returns_to_what_was_live_before_not_to_the_last_number(store: Store, linear_export: Maker) -> None:
    for seed in (1, 2, 3):
        publish(store, linear_export(seed=seed))
    assert rollback(store, "m") == 2
    assert publish(store, linear_export(seed=4)) == 4
    assert rollback(store, "m") == 2  # 3 was rolled back: it is not the way to return
    assert rollback(store, "m") == 1
    with pytest.raises(StorageError, match="version 1 is the first"):
        rollback(store, "m")
    assert rollback(store, "m", to=4) == 4


def test_impossible_targets_are_named(store: Store, linear_export: Maker) -> None:
    with pytest.raises(StorageError, match="no live version"):
        rollback(store, "m")
    publish(store, linear_export(seed=1))
    with pytest.raises(StorageError, match="the first"):
        rollback(store, "m")
    with pytest.raises(StorageError, match="live already"):
        rollback(store, "m", to=1)
    with pytest.raises(StorageError, match="version 7 was never promoted"):
        rollback(store, "m", to=7)


def test_a_damaged_version_does_not_come_back(store: Store, linear_export: Maker) -> None:
    publish(store, linear_export(seed=1))
    publish(store, linear_export(seed=2))
    store.write("m/1/model.onnx", b"altered")
    with pytest.raises(ArtifactError, match=r"m/1/model\.onnx"):
        rollback(store, "m")
    assert live_version(store, "m") == 2


def test_a_damaged_record_or_history_is_told(store: Store, linear_export: Maker) -> None:
    publish(store, linear_export(seed=1))
    publish(store, linear_export(seed=2))
    history_before, record = store.read("m/history.json"), store.read("m/2/fettle.json")
    store.write("m/history.json", history_before[:-20])
    with pytest.raises(ArtifactError, match=r"m/history\.json is damaged"):
        rollback(store, "m")
    store.write("m/history.json", history_before)
    store.write("m/2/fettle.json", record[:-20])
    with pytest.raises(ArtifactError, match=r"m/2/fettle\.json"):
        rollback(store, "m")
    assert live_version(store, "m") == 2
