"""The promotion protocol, over a folder and over S3."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import openvino
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from fettle.card import create, digest_file, read_card
from fettle.errors import ArtifactError, FettleError, GateError, SpecError, StorageError
from fettle.export.manifest import Export, open_export
from fettle.publish import Promotion, approve, history, live_version, promote, rollback
from fettle.publish import release as room
from fettle.publish.repository import models, read_record
from fettle.spec.serve import ServeConfig
from fettle.storage import ConflictError, Store, open_store

Maker = Callable[..., Export]


def publish(
    store: Store, export: Export, *, name: str = "castings", runtime: str = "onnxruntime", **thresholds: float
) -> Promotion:
    sign_off = approve(export, runtime, by="Ada", reason="test")
    return promote(
        store, export, runtime, model_name=name, config=ServeConfig(), sign_off=sign_off, thresholds=thresholds
    )


def test_the_first_promotion_is_version_1(store: Store, linear_export: Maker) -> None:
    export = linear_export()
    promotion = publish(store, export)
    assert (promotion.version, promotion.previous, promotion.created) == (1, None, True)
    assert store.list() == (
        "castings/1/config.pbtxt",
        "castings/1/fettle.json",
        "castings/1/labels.txt",
        "castings/1/model.onnx",
        "castings/config.pbtxt",
        "castings/history.json",
    )
    assert store.digest("castings/1/model.onnx") == digest_file(export.file)
    assert store.read("castings/1/labels.txt") == b"ok\ndefective\nunsure\n"
    assert store.read("castings/config.pbtxt") == store.read("castings/1/config.pbtxt")
    record = read_record(store, "castings", 1)
    assert record.sign_off.by == "Ada"
    assert record.lineage["kind"] == "export"
    assert models(store) == ("castings",)


def test_versions_count_up_and_one_is_served(store: Store, linear_export: Maker) -> None:
    for seed in (1, 2, 3):
        assert publish(store, linear_export(seed=seed)).version == seed
    message = text_format.Parse(store.read("castings/config.pbtxt").decode(), pb.ModelConfig())
    assert list(message.version_policy.specific.versions) == [3]
    assert [event.version for event in history(store, "castings")] == [1, 2, 3]


def test_the_same_files_make_no_new_version(store: Store, linear_export: Maker) -> None:
    export = linear_export()
    first = publish(store, export)
    before = store.list()
    again = publish(store, export)
    assert (again.version, again.created) == (first.version, False)
    assert store.list() == before
    assert publish(store, export, runtime="openvino").version == 2  # another backend is another version


def test_without_sign_off_nothing_is_written(store: Store, linear_export: Maker) -> None:
    with pytest.raises(GateError):
        promote(store, linear_export(), "onnxruntime", model_name="m", config=ServeConfig(), sign_off=None)
    assert store.list() == ()


def test_two_config_writes_are_never_in_the_same_second(store: Store, linear_export: Maker) -> None:
    seconds = []
    for seed in (1, 2, 3):
        publish(store, linear_export(seed=seed))
        seconds.append(int(store.modified("castings/config.pbtxt")))
    assert len(set(seconds)) == 3


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the library catches it."""


@pytest.mark.parametrize("writes", range(5))
def test_a_promotion_killed_anywhere_leaves_the_old_version_live(
    store: Store, linear_export: Maker, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    publish(store, linear_export(seed=1))
    config, left = store.read("castings/config.pbtxt"), [writes]

    def dying(method: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object, **options: object) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            method(*args, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("write", "write_if", "upload"):
            patch.setattr(store, name, dying(getattr(store, name)))
        with pytest.raises(Killed):
            publish(store, linear_export(seed=2))
    assert store.read("castings/config.pbtxt") == config
    assert live_version(store, "castings") == 1
    claimed = store.exists("castings/2/fettle.json")
    promotion = publish(store, linear_export(seed=2))
    assert promotion.version == (3 if claimed else 2)
    assert promotion.previous == 1
    assert rollback(store, "castings") == 1


def test_killed_between_commit_and_history(store: Store, linear_export: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(store, linear_export(seed=1))

    def dies(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("fettle.publish.promotion.log_event", dies)
        with pytest.raises(Killed):
            publish(store, linear_export(seed=2))
    assert live_version(store, "castings") == 2
    assert [(event.version, event.action) for event in history(store, "castings")] == [(1, "promote"), (2, "recovered")]
    assert rollback(store, "castings") == 1
    assert [event.version for event in history(store, "castings")] == [1, 2, 1]


def test_of_two_promoters_one_wins_and_the_other_is_told(store: Store, linear_export: Maker) -> None:
    publish(store, linear_export(seed=0))
    exports = [linear_export(seed=seed) for seed in range(1, 5)]
    won, lost, gate = list[int](), list[str](), threading.Barrier(len(exports))

    def race(export: Export) -> None:
        gate.wait()
        try:
            won.append(publish(store, export).version)
        except ConflictError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=race, args=(export,)) for export in exports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) + len(lost) == len(exports)
    assert won
    assert live_version(store, "castings") == max(won)
    assert all("in the meantime" in message for message in lost)
    events = [event.version for event in history(store, "castings")]
    assert events[-1] == live_version(store, "castings")


def test_a_slower_promoter_does_not_overwrite_the_faster(
    store: Store, linear_export: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, linear_export(seed=1))
    verify = room.verify_version

    def overtaken(*args: object) -> None:
        monkeypatch.setattr(room, "verify_version", verify)
        publish(store, linear_export(seed=3))
        verify(*args)

    monkeypatch.setattr(room, "verify_version", overtaken)
    with pytest.raises(ConflictError, match="somebody else made version 3 live"):
        publish(store, linear_export(seed=2))
    assert live_version(store, "castings") == 3


def test_damage_on_the_way_is_noticed(store: Store, linear_export: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(store, linear_export(seed=1))
    upload = store.upload

    def damaging(source: Path, key: str) -> None:
        upload(source, key)
        store.write(key, store.read(key)[:-1])

    with monkeypatch.context() as patch:
        patch.setattr(store, "upload", damaging)
        with pytest.raises(ArtifactError, match=r"2/model\.onnx"):
            publish(store, linear_export(seed=2))
    assert live_version(store, "castings") == 1


def test_a_class_name_cannot_break_the_label_file(store: Store, linear_export: Maker) -> None:
    publish(store, linear_export(classes=("two\nlines", "déjà vu", "c")))
    assert store.read("castings/1/labels.txt").decode().splitlines() == ["two lines", "déjà vu", "c"]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b"])
def test_a_bad_model_name_is_refused(tmp_path: Path, linear_export: Maker, name: str) -> None:
    with pytest.raises(FettleError, match="model_name"):
        publish(open_store(tmp_path, environ={}), linear_export(), name=name)


def test_a_foreign_config_is_left_alone(tmp_path: Path, linear_export: Maker) -> None:
    store = open_store(tmp_path, environ={})
    store.write("castings/config.pbtxt", b'name: "castings" backend: "python"')
    with pytest.raises(ArtifactError, match="names no version"):
        publish(store, linear_export())
    assert store.list() == ("castings/config.pbtxt",)


def test_a_read_only_repository_is_explained(tmp_path: Path, linear_export: Maker) -> None:
    (tmp_path / "castings").write_text("a file in the way")
    with pytest.raises(StorageError, match="castings"):
        publish(open_store(tmp_path, environ={}), linear_export())


def initializers(model: bytes) -> dict[str, float]:
    return {
        value.name: onnx.numpy_helper.to_array(value).item()
        for value in onnx.load_from_string(model).graph.initializer
        if value.name in ("confidence", "max_detections")
    }


def test_thresholds_are_set_in_what_is_served(store: Store, colour_detector: Maker) -> None:
    export = colour_detector()
    before = digest_file(export.file)
    promotion = publish(store, export, confidence=0.5, max_detections=3)
    assert initializers(store.read("castings/1/model.onnx")) == {"confidence": 0.5, "max_detections": 3}
    assert promotion.thresholds == {"confidence": 0.5, "iou": 0.5, "max_detections": 3}
    assert promotion.export == read_card(export.path).digest
    assert promotion.sign_off.files == {"model.onnx": before}
    assert promotion.digests["model.onnx"] == store.digest("castings/1/model.onnx") != before
    assert digest_file(export.file) == before
    record = read_record(store, "castings", 1)
    assert (record.thresholds, record.digests) == (promotion.thresholds, promotion.digests)
    assert not store.exists("castings/1/labels.txt")
    config = text_format.Parse(store.read("castings/config.pbtxt").decode(), pb.ModelConfig())
    assert [list(output.dims) for output in config.output] == [[3, 4], [3], [3], [1]]


def test_the_same_thresholds_make_no_new_version(store: Store, colour_detector: Maker) -> None:
    export = colour_detector()
    assert publish(store, export, confidence=0.5).created
    assert not publish(store, export, confidence=0.5).created
    assert publish(store, export, confidence=0.6).version == 2
    assert publish(store, export).version == 3  # as it was exported
    assert store.digest("castings/3/model.onnx") == digest_file(export.file)
    assert rollback(store, "castings", to=1) == 1
    assert live_version(store, "castings") == 1


def test_an_openvino_file_gets_thresholds_too(tmp_path: Path, colour_detector: Maker) -> None:
    store, path = open_store(tmp_path / "store", environ={}), tmp_path / "openvino"
    source = colour_detector()
    with create(path, kind="export", name="int8") as draft:
        openvino.save_model(openvino.convert_model(source.file), draft.path / "model.xml", compress_to_fp16=False)
        replace(source, path=draft.path, format="openvino", runtimes=("openvino",)).save()
    export = open_export(path)
    assert publish(store, export, runtime="openvino", confidence=0.5).created
    assert not publish(store, export, runtime="openvino", confidence=0.5).created
    assert read_record(store, "castings", 1).thresholds["confidence"] == 0.5
    assert store.digest("castings/1/model.xml") != digest_file(export.file)


def test_thresholds_that_a_model_does_not_have_publish_nothing(
    store: Store, linear_export: Maker, colour_detector: Maker
) -> None:
    with pytest.raises(SpecError, match="no threshold 'confidence'"):
        publish(store, linear_export(), confidence=0.5)
    with pytest.raises(SpecError, match=r"`confidence` cannot be 1\.5"):
        publish(store, colour_detector(), confidence=1.5)
    assert store.list() == ()
