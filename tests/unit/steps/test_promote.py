"""Steps ``approve`` and ``promote``: who may go live, and with which files."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fettle import card
from fettle.card import Artifact
from fettle.errors import ArtifactError, GateError, SpecError
from fettle.evaluate import results
from fettle.evaluate.results import Candidate, GateVerdict, Selection
from fettle.export.manifest import Export
from fettle.publish import Promotion, live_version
from fettle.publish.repository import read_record
from fettle.spec import ServeConfig
from fettle.steps import run
from fettle.steps.approve import approve
from fettle.steps.promote import promote, read_approval
from fettle.storage import open_store

Maker = Callable[..., Export]
PASSED, FAILED = GateVerdict("max_drop", True, "Lost nothing."), GateVerdict("max_drop", False, "Lost 5 points.")


def candidate(name: str, export: Path, *gates: GateVerdict) -> Candidate:
    return Candidate(
        name=name, recipe=name, runtime="onnxruntime", precision="float32",
        export=card.read_card(export).digest, scores={"accuracy": 0.9}, p50_ms=1, p95_ms=2,
        throughput={1: 100.0}, size_mb=1, memory_mb=None, load_ms=None, gates=gates,
    )  # fmt: skip


@pytest.fixture
def exports(linear_export: Maker) -> list[Path]:
    return [linear_export(seed=seed).path for seed in (1, 2)]


@pytest.fixture
def selection(tmp_path: Path, exports: list[Path]) -> Path:
    """A ``selection`` of ``good``, which wins, and ``bad``, which failed a gate."""
    rows = tuple(
        candidate(name, path, gate) for name, path, gate in zip(("good", "bad"), exports, (PASSED, FAILED), strict=True)
    )
    return write(tmp_path / "selection", Selection("classify", "balanced", "good", "good", "Good wins.", rows, (), ()))


def write(path: Path, selection: Selection) -> Path:
    with card.create(path, kind="selection", name="balanced") as draft:
        results.save(draft.path / results.SELECTION, selection)
    return path


@pytest.fixture
def serve(tmp_path: Path) -> ServeConfig:
    return ServeConfig(repository=str(tmp_path / "repository"))


def test_the_winner_goes_live_with_its_gates_words(
    selection: Path, exports: list[Path], serve: ServeConfig, tmp_path: Path
) -> None:
    artifact = promote(selection, exports[::-1], tmp_path / "promotion", serve=serve, name="castings")
    assert artifact.card.summary["version"] == 1
    assert artifact.card.parents["export"]["digest"] == card.read_card(exports[0]).digest
    assert Artifact.open(tmp_path / "promotion", kind="promotion").card.digest == artifact.card.digest
    store = open_store(serve.repository, environ={})
    record = read_record(store, "castings", 1)
    assert (record.sign_off.by, record.sign_off.reason) == ("gates", "Lost nothing.")
    assert store.read("castings/1/model.onnx") == (exports[0] / "model.onnx").read_bytes()
    told = json.loads((tmp_path / "promotion/promotion.json").read_text())
    assert told["repository"] == store.url


def test_the_specs_model_name_beats_the_run_s(
    selection: Path, exports: list[Path], serve: ServeConfig, tmp_path: Path
) -> None:
    config = serve.model_copy(update={"model_name": "other"})
    assert promote(selection, exports, tmp_path / "p", serve=config, name="castings").card.name == "other"


def test_a_person_may_promote_what_the_gates_refused(
    selection: Path, exports: list[Path], serve: ServeConfig, tmp_path: Path
) -> None:
    manual = serve.model_copy(update={"approve": "manual"})
    with pytest.raises(GateError, match="fettle approve"):
        promote(selection, exports, tmp_path / "p", serve=manual, name="m")
    approve(selection, exports, tmp_path / "approval", by="Ada", reason="the old one is worse", candidate="bad")
    artifact = promote(selection, exports, tmp_path / "p", serve=manual, name="m", sign_off=tmp_path / "approval")
    assert artifact.card.summary["candidate"] == "bad"
    assert artifact.card.summary["approved_by"] == "Ada"


def test_an_approval_may_come_as_what_it_says(
    selection: Path, exports: list[Path], serve: ServeConfig, tmp_path: Path
) -> None:
    approve(selection, exports, tmp_path / "approval", by="Ada", reason="fine", candidate="bad")
    told = json.loads(json.dumps(asdict(read_approval(tmp_path / "approval"))))
    path, _, summary = run(
        "promote", str(tmp_path / "p"), selection=str(selection), exports=[str(path) for path in exports], name="m",
        serve=json.dumps(serve.to_json()), sign_off=json.dumps(told),
    )  # fmt: skip
    assert (summary["candidate"], summary["approval"]) == ("bad", told["digest"])
    assert results.load(Path(path) / "promotion.json", Promotion).sign_off.reason == "fine"


def test_an_approval_of_another_run_is_refused(
    selection: Path, exports: list[Path], serve: ServeConfig, tmp_path: Path
) -> None:
    approve(selection, exports, tmp_path / "approval", by="Ada", reason="fine")
    table = results.load(selection / results.SELECTION, Selection)
    other = write(tmp_path / "other", replace(table, sentence="Good wins again."))
    with pytest.raises(ArtifactError, match=r"Ada approved good of selection .* the approval is of another run"):
        promote(other, exports, tmp_path / "p", serve=serve, name="m", sign_off=tmp_path / "approval")
    assert not Path(serve.repository).exists()


def test_approval_needs_a_person_and_a_candidate(selection: Path, exports: list[Path], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="`by`"):
        approve(selection, exports, tmp_path / "approval", by="", reason="fine")
    with pytest.raises(GateError, match="no candidate 'best': the selection has good, bad"):
        approve(selection, exports, tmp_path / "approval", by="Ada", reason="fine", candidate="best")
    assert not (tmp_path / "approval").exists()


def test_no_winner_or_a_failed_gate_stops_it(exports: list[Path], serve: ServeConfig, tmp_path: Path) -> None:
    rows = (candidate("bad", exports[0], FAILED),)
    table = Selection("classify", "balanced", "bad", None, "Nothing passes.", rows, (), ())
    with pytest.raises(GateError, match="Nothing passes"):
        promote(write(tmp_path / "none", table), exports, tmp_path / "p", serve=serve, name="m")
    forced = write(tmp_path / "forced", replace(table, winner="bad"))
    with pytest.raises(GateError, match="Lost 5 points"):
        promote(forced, exports, tmp_path / "p", serve=serve, name="m")
    assert not (tmp_path / "p").exists()
    assert not Path(serve.repository).exists()


def test_an_altered_export_is_refused(selection: Path, exports: list[Path], serve: ServeConfig, tmp_path: Path) -> None:
    approve(selection, exports, tmp_path / "approval", by="Ada", reason="fine")
    file = exports[0] / "model.onnx"
    file.write_bytes(file.read_bytes() + b" ")
    for sign_off in (None, tmp_path / "approval"):
        with pytest.raises(ArtifactError, match="altered"):
            promote(selection, exports, tmp_path / "p", serve=serve, name="m", sign_off=sign_off)
    assert live_version(open_store(serve.repository, environ={}), "m") is None


def test_another_export_is_not_taken_for_it(
    selection: Path, exports: list[Path], serve: ServeConfig, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match="the export that good was judged on"):
        promote(selection, exports[1:], tmp_path / "p", serve=serve, name="m")


def test_the_same_promotion_twice_is_one_version(
    selection: Path, exports: list[Path], serve: ServeConfig, tmp_path: Path
) -> None:
    for _ in range(2):
        artifact = promote(selection, exports, tmp_path / "p", serve=serve, name="m")
        assert artifact.card.summary["version"] == 1


def test_a_detector_goes_live_with_the_candidates_thresholds(
    colour_detector: Maker, serve: ServeConfig, tmp_path: Path
) -> None:
    export = colour_detector(seed=1)
    fitted = {"confidence": 0.41, "iou": 0.5, "max_detections": 10}
    row = replace(candidate("good", export.path, PASSED), thresholds=fitted)
    table = Selection("detect", "balanced", "good", "good", "Good wins.", (row,), (), ())
    selection = write(tmp_path / "selection", table)
    for name in ("first", "again"):  # read back from JSON, the same thresholds are the same files
        promote(selection, [export.path], tmp_path / name, serve=serve, name="m")
        told = results.load(tmp_path / name / "promotion.json", Promotion)
        assert (told.version, told.thresholds, told.created) == (1, fitted, name == "first")
    approve(selection, [export.path], tmp_path / "approval", by="Ada", reason="fine")
    export.file.write_bytes(export.file.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match="altered"):
        promote(selection, [export.path], tmp_path / "p", serve=serve, name="m", sign_off=tmp_path / "approval")
