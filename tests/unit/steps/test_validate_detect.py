"""The step ``validate`` on detectors that answer what the images tell them."""

import json
from pathlib import Path

import numpy as np
import pytest

from fettle.errors import ArtifactError, DataError
from fettle.evaluate import results
from fettle.evaluate.predictions import read_predictions
from fettle.evaluate.results import Validation
from fettle.evaluate.tasks import served_answers
from fettle.export import open_export
from fettle.export.thresholds import set_thresholds
from fettle.runtimes import open_engine
from fettle.spec import DetectionConfig
from fettle.steps.validate import validate

ONE, TWO, FAR = (10, 10, 30, 30), (30, 30, 50, 50), (4, 40, 20, 60)
OBJECTS = [(ONE, 0), (TWO, 1)]
# On val the right answers have at least 40%, and a false alarm has 30%.
VAL = [(OBJECTS, [(ONE, 80, 0), (TWO, 40, 1), (FAR, 30, 0)])]
TEST = [
    (OBJECTS, [(ONE, 90, 0), (TWO, 60, 1)]),
    (OBJECTS, [(ONE, 50, 0), (FAR, 70, 0), (TWO, 20, 1)]),  # a false alarm, and one missed at 35%
    ([], []),
]


def validated(path: Path) -> Validation:
    return results.load(path / results.METRICS, Validation)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_figures_are_those_of_a_hand(told_dataset, make_told_detector, tmp_path: Path, runtime: str) -> None:
    made = validate(
        make_told_detector(), told_dataset(val=VAL, test=TEST), tmp_path / "out", runtime=runtime, threads=1
    )
    found = validated(made.path)
    assert found.exported["confidence"] == 0.25
    assert found.thresholds["confidence"] == pytest.approx(0.35)  # midway between the alarm and the last right one
    test = found.test
    assert (test.count, test.objects, test.answered) == (3, 4, 4)
    assert (test.precision, test.recall, test.f1) == (3 / 4, 3 / 4, 3 / 4)
    # class a: 90 right, 70 wrong, 50 right: precision 1 up to recall .5, then 2/3. Class b: all right.
    assert test.per_class[0].ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert test.per_class[1].ap50 == pytest.approx(1)
    assert test.map50 == pytest.approx((test.per_class[0].ap50 + 1) / 2)
    assert test.map50_95 == pytest.approx(test.map50)  # all that is right is exact
    assert test.confusion == ((2, 0, 0), (0, 1, 1), (1, 0, 0))
    assert test.intervals["map50"].low <= test.map50 <= test.intervals["map50"].high
    assert found.val.f1 == 1
    assert made.card.summary["map50"] == test.map50
    assert made.card.summary["confidence"] == pytest.approx(0.35)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_served_answers_are_those_of_the_stamped_file(
    told_dataset, make_told_detector, tmp_path: Path, runtime: str
) -> None:
    export, data = make_told_detector(max_detections=2), told_dataset(val=VAL, test=TEST)
    made = validate(export, data, tmp_path / "out", runtime=runtime, threads=1)
    thresholds = validated(made.path).thresholds
    told = served_answers("detect", read_predictions(made.path), thresholds)
    (tmp_path / "stamped").mkdir()
    stamped = set_thresholds(open_export(export), tmp_path / "stamped", **thresholds)
    with open_engine(runtime, stamped.file, threads=1) as engine:
        served = engine(np.load(data / "images.npy")[-len(TEST) :])
    assert list(told) == ["boxes", "scores", "labels", "count"]
    for mine, theirs in zip(told.values(), served, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert told["count"].ravel().tolist() == [2, 2, 0]


def test_only_as_many_as_are_served_count(told_dataset, make_told_detector, tmp_path: Path) -> None:
    """With one detection an image the second object cannot be found, however sure the model is."""
    made = validate(
        make_told_detector(max_detections=1),
        told_dataset(val=VAL, test=TEST[:1]),
        tmp_path / "o",
        runtime="onnxruntime",
    )
    assert validated(made.path).test.recall == 0.5
    assert validated(made.path).test.map50 == pytest.approx(1)  # of the full curve
    assert read_predictions(made.path)["labels"].shape == (1, 300)


def test_without_refit_the_confidence_stays(told_dataset, make_told_detector, tmp_path: Path) -> None:
    data, config = told_dataset(val=VAL, test=TEST), DetectionConfig(refit=False)
    made = validate(make_told_detector(), data, tmp_path / "out", runtime="onnxruntime", detections=config)
    assert validated(made.path).thresholds == validated(made.path).exported


@pytest.mark.parametrize("val", [[], [(OBJECTS, [])], [([], [(ONE, 90, 0)])], [(OBJECTS, [(FAR, 90, 0)])]])
def test_without_anything_right_on_val_the_confidence_stays(
    told_dataset, make_told_detector, tmp_path: Path, val, caplog
) -> None:
    data = told_dataset(test=TEST, **({"val": val} if val else {}))
    made = validate(make_told_detector(), data, tmp_path / "out", runtime="onnxruntime")
    assert validated(made.path).thresholds["confidence"] == 0.25
    assert not val or "stays at 0.25" in caplog.text


def test_parity_looks_for_boxes_not_for_scores(told_dataset, make_told_detector, tmp_path: Path) -> None:
    data = told_dataset(val=VAL, test=TEST)
    base = validate(make_told_detector(), data, tmp_path / "base", runtime="onnxruntime")
    made = validate(
        make_told_detector("weak", scale=0.5), data, tmp_path / "weak", runtime="onnxruntime", reference=base.path
    )
    found = validated(made.path)
    assert found.thresholds["confidence"] == pytest.approx(0.175)  # moved with the scores
    assert (found.test.f1, found.test.map50) == (validated(base.path).test.f1, validated(base.path).test.map50)
    assert found.parity.agreement == 1
    assert found.parity.overlap == pytest.approx(1)
    assert found.parity.max_difference == pytest.approx(0.45)


def test_what_never_occurs_or_is_never_answered_has_no_figures(
    told_dataset, make_told_detector, tmp_path: Path
) -> None:
    classes = ("a", "b", "never")
    data = told_dataset(classes=classes, val=[(OBJECTS, [])], test=[(OBJECTS, []), ([], [])])
    made = validate(make_told_detector(classes=classes), data, tmp_path / "out", runtime="onnxruntime")
    raw = (made.path / results.METRICS).read_text()
    assert "NaN" not in raw
    test = json.loads(raw)["test"]
    assert (test["map50"], test["precision"], test["recall"], test["f1"]) == (0, None, 0, 0)
    assert test["per_class"][2]["ap50"] is None
    assert test["by_size"]["large"] == {"support": 0, "ap50": None, "ap50_95": None}
    assert test["confusion"][0] == [0, 0, 0, 1]


def test_test_images_without_any_object_are_refused(told_dataset, make_told_detector, tmp_path: Path) -> None:
    data = told_dataset(val=VAL, test=[([], [(ONE, 90, 0)])])
    with pytest.raises(DataError, match="no object in its 1 test images"):
        validate(make_told_detector(), data, tmp_path / "out", runtime="onnxruntime")
    with pytest.raises(DataError, match="knows the classes x, y"):
        validate(make_told_detector("xy", classes=("x", "y")), data, tmp_path / "out", runtime="onnxruntime")


def test_a_thousand_boxes_in_one_image(told_dataset, make_told_detector, tmp_path: Path) -> None:
    many = [((x, y, x + 2, y + 2), 0) for x in range(0, 62, 2) for y in range(0, 64, 2)]
    data = told_dataset(val=VAL, test=[(many, [(box, 90, label) for box, label in many[:60]])])
    made = validate(make_told_detector(max_detections=100), data, tmp_path / "out", runtime="onnxruntime")
    assert validated(made.path).test.recall == 60 / len(many)
    assert validated(made.path).test.precision == 1


def test_nan_is_refused(told_dataset, make_told_detector, tmp_path: Path) -> None:
    data = told_dataset(val=VAL, test=TEST)
    with pytest.raises(ArtifactError, match="gives NaN or infinity for 2 of 3 images"):
        validate(make_told_detector(scale=float("inf")), data, tmp_path / "out", runtime="onnxruntime")
    assert not (tmp_path / "out").exists()
