"""The whole network in its forms: where INT8 loses too much, the layers that suffer most stay in float."""

import json
from pathlib import Path

from fettle.export.manifest import read_manifest
from fettle.runtimes import open_engine
from fettle.search.forms import Form
from fettle.search.subject import Subject
from fettle.search.track import Track
from fettle.search.whole import Standing, stand

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


def test_a_standing_comes_back() -> None:
    standing = Standing(INT8, 1.5, 0.9, kept=("conv1.3/Conv",))
    assert Standing.from_json(json.loads(json.dumps(standing.to_json()))) == standing
