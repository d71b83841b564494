"""The step ``select``: from artifacts to the choice."""

from pathlib import Path

import numpy as np
import pytest

from fettle.card import Artifact, read_card
from fettle.errors import ArtifactError
from fettle.evaluate import results
from fettle.evaluate.results import Selection
from fettle.spec import BenchmarkConfig, GateConfig
from fettle.steps.benchmark import benchmark
from fettle.steps.select import select
from fettle.steps.validate import validate

GATES = GateConfig(class_floor=None)


@pytest.fixture
def run(make_export, trained_model: Artifact, castings_dataset: Path, tmp_path: Path):
    """A baseline and a candidate made of it, which always says ``ok``; validated and measured."""
    base = make_export(parents={"model": trained_model.card}, bias=[1, 0])
    other = make_export("int8", parents={"export": read_card(base)}, precision="int8", bias=[0, 1])
    names = {"baseline-onnxruntime": base, "int8-onnxruntime": other}
    validations = [
        validate(path, castings_dataset, tmp_path / f"validation-{name}", runtime="onnxruntime").path
        for name, path in names.items()
    ]
    exports = [(name, path, "onnxruntime") for name, path in names.items()]
    config = BenchmarkConfig(rounds=3, batches=[4], threads=1)
    return validations, benchmark(exports, castings_dataset, tmp_path / "benchmark", config=config).path, names


def test_chooses_from_artifacts(run, tmp_path: Path) -> None:
    validations, measured, _ = run
    made = select(validations, measured, tmp_path / "out", gates=GATES, profile="balanced")
    found = results.load(made.path / results.SELECTION, Selection)
    assert [row.name for row in found.candidates] == ["baseline-onnxruntime", "int8-onnxruntime"]
    assert found.candidate("int8-onnxruntime").parent == "baseline-onnxruntime"
    assert found.candidate("int8-onnxruntime").precision == "int8"
    assert set(found.candidate("int8-onnxruntime").throughput) == {1, 4}
    assert made.card.summary["winner"] == found.winner
    assert set(made.card.parents) == {"baseline-onnxruntime", "int8-onnxruntime", "benchmark"}
    export = made.card.parents["int8-onnxruntime"]["parents"]["export"]
    assert export["parents"]["export"]["parents"]["model"]["kind"] == "model"  # unbroken down to the model


def test_without_a_winner_the_artifact_says_why(run, tmp_path: Path) -> None:
    validations, measured, _ = run
    made = select(validations, measured, tmp_path / "out", gates=GateConfig(latency_p95_ms=1e-6), profile="edge")
    assert made.card.summary["winner"] is None
    assert "latency_p95" in made.card.summary["sentence"]


def test_refuses_what_was_not_measured_or_is_another_export(run, make_export, castings_dataset, tmp_path: Path) -> None:
    validations, _, names = run
    config = BenchmarkConfig(rounds=3, batches=[1], threads=1)
    one = [("baseline-onnxruntime", names["baseline-onnxruntime"], "onnxruntime")]
    alone = benchmark(one, castings_dataset, tmp_path / "alone", config=config).path
    with pytest.raises(ArtifactError, match="int8-onnxruntime was validated but not measured"):
        select(validations, alone, tmp_path / "out", gates=GATES, profile="balanced")
    again = make_export("int8", weights=np.zeros((3, 2)))
    mixed = benchmark(
        [*one, ("int8-onnxruntime", again, "onnxruntime")], castings_dataset, tmp_path / "m", config=config
    )
    with pytest.raises(ArtifactError, match="different exports"):
        select(validations, mixed.path, tmp_path / "out", gates=GATES, profile="balanced")
    with pytest.raises(ArtifactError, match="not the 'benchmark'"):
        select(validations, validations[0], tmp_path / "out", gates=GATES, profile="balanced")
    assert not (tmp_path / "out").exists()
