"""The whole network in its forms: where INT8 loses too much, the layers that suffer most stay in float."""

import json
from pathlib import Path

import pytest

from fettle.errors import OptimizeError
from fettle.export.manifest import read_manifest
from fettle.runtimes import open_engine
from fettle.search import whole
from fettle.search.forms import Form
from fettle.search.ground import best_forms
from fettle.search.subject import Subject
from fettle.search.track import Track
from fettle.search.whole import Standing, reference_score, stand

FLOAT, INT8 = Form("onnxruntime", "float32"), Form("onnxruntime", "int8")


def forms_of(subject: Subject, folder: Path, max_drop: float) -> dict[Form, Standing]:
    with Track(subject.calibration) as track:
        exported = track.export(subject.model, subject.architecture)
        found = stand(track, exported, [FLOAT, INT8], subject=subject, folder=folder, max_drop=max_drop)
    return {each.form: each for each in found}


def test_int8_gets_its_layers_back_until_it_holds(suffering: Subject, tmp_path: Path) -> None:
    plain, mixed = forms_of(suffering, tmp_path, 0.9), forms_of(suffering, tmp_path, 0.05)
    assert plain[INT8].kept == ()
    assert plain[INT8].score < plain[FLOAT].score - 0.05, "or the test says nothing"
    assert 1 <= len(mixed[INT8].kept) <= 3
    assert mixed[INT8].score >= mixed[FLOAT].score - 0.05
    with open_engine("onnxruntime", read_manifest(tmp_path / str(INT8)).file) as engine:
        assert engine(suffering.calibration[:2])[0].shape == (2, 2)


def test_int8_that_ruins_a_network_is_mixed_too(ruined: Subject, tmp_path: Path) -> None:
    found = forms_of(ruined, tmp_path, 0.9)
    assert found[INT8].kept
    assert found[INT8].score >= found[FLOAT].score - 0.05


def test_forms_are_timed_beside_what_is_known(suffering: Subject, tmp_path: Path) -> None:
    with Track(suffering.calibration) as track:
        exported = track.export(suffering.model, suffering.architecture)
        with track.start("whole", exported, "onnxruntime") as known:
            (found,) = stand(
                track, exported, [FLOAT], subject=suffering, folder=tmp_path, max_drop=0.1, beside=(known, 1e6)
            )
    assert 2e5 < found.ms < 5e6, "the same file takes as long, whatever that is said to be"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files for OpenVINO that it cannot load, as where a machine lacks what a precision needs."""
    make = whole.quantize

    def spoil(*given, runtime: str, **how):
        export = make(*given, runtime=runtime, **how)
        if runtime == "openvino":
            export.file.write_bytes(b"")
        return export

    monkeypatch.setattr(whole, "quantize", spoil)


def test_a_form_that_its_runtime_cannot_load_is_left_out(
    suffering: Subject, tmp_path: Path, broken: None, caplog: pytest.LogCaptureFixture
) -> None:
    other = Form("openvino", "float32")
    with Track(suffering.calibration) as track:
        exported = track.export(suffering.model, suffering.architecture)
        (found,) = stand(track, exported, [other, FLOAT], subject=suffering, folder=tmp_path, max_drop=0.1)
        assert found.form == FLOAT
        assert "cannot be loaded by OpenVINO" in caplog.text
        assert f"{other} is left out" in caplog.text
        with pytest.raises(OptimizeError, match="to none of the forms"):
            stand(track, exported, [other], subject=suffering, folder=tmp_path, max_drop=0.1)


def _best(*standings: tuple[str, str, float, float]) -> list[str]:
    forms = [Standing(Form(*form), ms, score) for *form, ms, score in standings]
    return [str(form) for form in best_forms(forms, floor=0.9)]


def test_trials_are_made_for_the_fastest_form_that_of_another_runtime_and_float_in_each() -> None:
    openvino, ours, poor = ("openvino", "int8", 1.0, 0.95), ("onnxruntime", "int8", 2.0, 0.95), 0.8
    native, plain = ("openvino", "bf16", 1.5, 0.96), ("onnxruntime", "float32", 3.0, 0.96)
    assert _best(ours, openvino) == ["int8-openvino", "int8-onnxruntime"]
    assert _best(native, openvino) == ["int8-openvino", "bf16-openvino"]
    assert _best(native, ours, openvino) == ["int8-openvino", "int8-onnxruntime", "bf16-openvino"]
    assert _best(plain, ours, openvino) == ["int8-openvino", "int8-onnxruntime", "float32-onnxruntime"]
    emulated = ("openvino", "float32", 1.6, 0.96)  # bf16 in fact, where the processor has it
    assert _best(emulated, native, plain) == ["bf16-openvino", "float32-onnxruntime"], "one in float is enough"
    assert _best((*ours[:3], poor), openvino, plain) == ["int8-openvino", "float32-onnxruntime"]
    assert _best((*ours[:3], 0.885), openvino, plain)[1] == "int8-onnxruntime", "trials are trained again"
    assert _best((*ours[:3], poor)) == ["int8-onnxruntime"], "there is no other"
    assert _best(("tensorrt", "float16", 0.2, 0.95), openvino)[0] == "int8-openvino", "whose layers can be timed"


def test_a_standing_comes_back() -> None:
    standing = Standing(INT8, 1.5, 0.9, kept=("conv1.3/Conv",))
    assert Standing.from_json(json.loads(json.dumps(standing.to_json()))) == standing


def test_drops_are_counted_from_float_and_not_from_a_lucky_int8() -> None:
    assert reference_score({FLOAT: 0.9, INT8: 0.95, Form("openvino", "bf16"): 0.91}) == 0.91
    assert reference_score({INT8: 0.95}) == 0.95
    assert reference_score({}) == 0.0
