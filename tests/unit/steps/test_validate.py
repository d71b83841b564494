"""The step ``validate``."""

from pathlib import Path

import numpy as np
import pytest

from fettle.card import Artifact
from fettle.data import open_dataset
from fettle.errors import ArtifactError, DataError, SpecError
from fettle.evaluate import results
from fettle.evaluate.predictions import PREDICTIONS, read_predictions
from fettle.evaluate.results import Validation
from fettle.steps.validate import validate

WEIGHTS = np.array([[4.0, -4.0], [1.0, -1.0], [-2.0, 2.0]])


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_predictions_are_those_of_the_formula(
    make_export, castings_dataset: Path, tmp_path: Path, runtime: str
) -> None:
    export = make_export(weights=WEIGHTS, bias=[0.1, 0.2])
    made = validate(export, castings_dataset, tmp_path / "out", runtime=runtime, threads=1)
    found = read_predictions(made.path)
    probabilities, labels = found["probabilities"], found["truth_labels"]
    test = open_dataset(castings_dataset).subset("test")
    scores = (test.images / 255.0).mean(axis=(1, 2)) @ WEIGHTS + [0.1, 0.2]
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=2e-2)  # bfloat16 in OpenVINO on some CPUs
    np.testing.assert_array_equal(labels, test.labels)
    validation = results.load(made.path / results.METRICS, Validation)
    assert validation.candidate == f"baseline-{runtime}"
    assert validation.test.accuracy == (probabilities.argmax(1) == labels).mean()
    assert validation.val.count == len(open_dataset(castings_dataset).subset("val"))
    assert made.card.summary["accuracy"] == validation.test.accuracy
    assert set(made.card.parents) == {"export", "dataset"}


def test_same_work_same_digest(make_export, castings_dataset: Path, tmp_path: Path) -> None:
    export = make_export()
    first = validate(export, castings_dataset, tmp_path / "a", runtime="onnxruntime")
    assert validate(export, castings_dataset, tmp_path / "b", runtime="onnxruntime").card.digest == first.card.digest


def test_parity_with_a_reference(make_export, castings_dataset: Path, tmp_path: Path) -> None:
    base = validate(make_export(weights=WEIGHTS), castings_dataset, tmp_path / "base", runtime="onnxruntime")
    flipped = make_export("flipped", weights=-WEIGHTS, bias=[0, -1])
    made = validate(flipped, castings_dataset, tmp_path / "out", runtime="onnxruntime", reference=base.path)
    validation = results.load(made.path / results.METRICS, Validation)
    mine, theirs = (read_predictions(each.path)["probabilities"] for each in (made, base))
    assert validation.reference == "baseline-onnxruntime"
    assert validation.parity.agreement == (mine.argmax(1) == theirs.argmax(1)).mean() < 1
    assert validation.parity.max_difference == pytest.approx(np.abs(mine - theirs).max())
    assert made.card.parents["reference"]["digest"] == base.card.digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": np.full((3, 2), np.nan)}, "NaN or infinity for 9 of 9 images"),
        ({"softmax": False}, "no probabilities"),
        ({"weights": np.ones((3, 3)), "bias": [0, 0, 0]}, r"outputs of shape \(3,\), not \(2,\)"),
    ],
)
def test_refuses_what_are_no_probabilities(make_export, castings_dataset, tmp_path, options, message) -> None:
    with pytest.raises(ArtifactError, match=message):
        validate(make_export(**options), castings_dataset, tmp_path / "out", runtime="onnxruntime")
    assert not (tmp_path / "out").exists()


def test_refuses_another_runtime_other_classes_and_a_wrong_reference(make_export, castings_dataset, tmp_path) -> None:
    with pytest.raises(SpecError, match="`runtime` must be one of onnxruntime, openvino"):
        validate(make_export(), castings_dataset, tmp_path / "out", runtime="tensorrt")
    with pytest.raises(DataError, match="knows the classes cat, dog"):
        validate(make_export("pets", classes=("cat", "dog")), castings_dataset, tmp_path / "out", runtime="onnxruntime")
    with pytest.raises(ArtifactError, match="not the 'validation'"):
        validate(make_export("x"), castings_dataset, tmp_path / "o", runtime="onnxruntime", reference=castings_dataset)


def test_refuses_truncated_predictions(make_export, castings_dataset: Path, tmp_path: Path) -> None:
    made = validate(make_export(), castings_dataset, tmp_path / "out", runtime="onnxruntime")
    file = made.path / PREDICTIONS
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="validate again"):
        read_predictions(made.path)
    with pytest.raises(ArtifactError, match="does not match its card"):
        Artifact.open(made.path)
