"""Gates: where they pass, where they fail, and that they say so."""

import numpy as np
import pytest

from fettle.evaluate.evidence import Evidence
from fettle.evaluate.gates import judge
from fettle.evaluate.latency import summarize
from fettle.evaluate.results import Validation
from fettle.evaluate.select import select
from fettle.evaluate.tasks import TASKS
from fettle.spec import GateConfig

OFF = {"class_floor": None}


def verdict(name: str, candidate, baseline, **config):
    return {each.name: each for each in judge(candidate, baseline, GateConfig(**config))}[name]


@pytest.mark.parametrize(("wrong", "passed"), [(0, True), (2, True), (3, False)])
def test_max_drop_is_judged_by_what_was_measured(make_evidence, wrong: int, passed: bool) -> None:
    """Of 200 images 2 are exactly the point that may be lost."""
    found = verdict("max_drop", make_evidence("int8", wrong=range(wrong)), make_evidence(), max_drop=0.01, **OFF)
    assert found.passed is passed


def test_strict_wants_the_interval_to_exclude_more(make_evidence) -> None:
    candidate, baseline = make_evidence("int8", wrong=[0, 1]), make_evidence()
    assert verdict("max_drop", candidate, baseline, max_drop=0.012, **OFF).passed
    assert not verdict("max_drop", candidate, baseline, max_drop=0.012, strict=True, **OFF).passed
    assert verdict("max_drop", candidate, baseline, max_drop=0.05, strict=True, **OFF).passed


def test_max_drop_says_what_was_asked_measured_and_how_sure(make_evidence) -> None:
    found = verdict("max_drop", make_evidence("int8", wrong=range(4)), make_evidence(wrong=[0, 199]), **OFF)
    assert "at most 1.00 points below baseline-onnxruntime" in found.words
    assert "-1.00 points (95% interval" in found.words
    assert "images lost 3, gained 1" in found.words
    assert "Probability that the drop is within the limit:" in found.words


def test_the_baseline_is_not_compared_with_itself(make_evidence) -> None:
    baseline = make_evidence(wrong=range(100))
    config = GateConfig(min_accuracy=0.9, class_floor=0.8)
    assert {each.name: each.passed for each in judge(baseline, baseline, config)} == {
        "max_drop": True,
        "min_accuracy": False,
        "class_floor": True,
    }


@pytest.mark.parametrize(("wrong", "passed"), [(20, True), (21, False)])
def test_min_accuracy(make_evidence, wrong: int, passed: bool) -> None:
    found = verdict("min_accuracy", make_evidence(wrong=range(wrong)), make_evidence(), min_accuracy=0.9)
    assert found.passed is passed
    assert f"{200 - wrong} of 200 images" in found.words


def test_class_floor_catches_what_the_mean_hides(make_evidence) -> None:
    """30 of 100 defective images missed, no ok one: 85% accuracy, 70% recall of one class."""
    found = verdict("class_floor", make_evidence("int8", wrong=range(0, 60, 2)), make_evidence(), class_floor=0.8)
    assert not found.passed
    assert "'defective' has 70.0%, 70 of 100 images" in found.words
    assert "'ok'" not in found.words


def test_class_floor_names_the_lowest_when_it_passes(make_evidence) -> None:
    found = verdict("class_floor", make_evidence("int8", wrong=[1, 3]), make_evidence(), class_floor=0.8)
    assert found.passed
    assert "the lowest is 'ok' with 98.0%" in found.words


def test_a_class_that_the_baseline_misses_too_may_not_fall_measurably(make_evidence) -> None:
    baseline = make_evidence(wrong=range(0, 80, 2))  # 60% of the defective ones
    as_bad, one_less, far_less = (make_evidence("int8", wrong=range(0, stop, 2)) for stop in (80, 82, 120))
    assert verdict("class_floor", as_bad, baseline, class_floor=0.8).passed
    assert verdict("class_floor", one_less, baseline, class_floor=0.8).passed
    found = verdict("class_floor", far_less, baseline, class_floor=0.8)
    assert not found.passed
    assert "images lost 20" in found.words


def test_a_class_without_test_images_asks_nothing(make_evidence) -> None:
    labels = np.zeros(50, int)
    one = make_evidence(labels=labels)
    assert verdict("class_floor", one, one, class_floor=0.8).passed


@pytest.mark.parametrize(("limit", "passed"), [(12, True), (8, False)])
def test_latency(make_evidence, limit: float, passed: bool) -> None:
    found = verdict("latency_p95", make_evidence(ms=10), make_evidence(), latency_p95_ms=limit)
    assert found.passed is passed
    assert "over 150 calls (95% interval" in found.words


@pytest.mark.parametrize(("limit", "passed"), [(40, True), (39.9, False)])
def test_size(make_evidence, limit: float, passed: bool) -> None:
    assert verdict("max_size", make_evidence(size_mb=40), make_evidence(), max_size_mb=limit).passed is passed


def test_gates_that_are_null_are_not_asked(make_evidence) -> None:
    names = [each.name for each in judge(make_evidence("int8"), make_evidence(), GateConfig(class_floor=None))]
    assert names == ["max_drop"]


@pytest.fixture
def detector():
    """Return the evidence of a detector that finds some of 20 objects of each class, one an image."""

    def make(recipe: str = "baseline", *, found: tuple[int, int] = (20, 20)) -> Evidence:
        box = np.float32([4, 4, 24, 24])
        labels = np.repeat([0, 1], 20)
        right = np.arange(40) % 20 < np.array(found)[labels]
        predictions = {
            "boxes": np.where(right[:, None, None], box, box + 30),
            "scores": np.full((40, 1), 0.9, np.float32),
            "labels": labels[:, None].astype(np.int32),
            "truth_xyxy": np.tile(box, (40, 1)), "truth_labels": labels, "truth_starts": np.arange(41),
            "truth_areas": np.full(40, 400, np.float32),
        }  # fmt: skip
        thresholds = {"confidence": 0.5, "iou": 0.5, "max_detections": 10}
        task = TASKS["detect"]
        metrics = task.metrics(task.study(predictions, 3), thresholds, ("a", "b", "never"))
        samples = {1: np.random.default_rng(0).normal(0.01, 1e-4, (30, 5)).tolist()}
        return Evidence(
            validation=Validation(
                f"{recipe}-onnxruntime", recipe, "onnxruntime", "float32", "detect", ("a", "b", "never"), metrics,
                thresholds=thresholds,
            ),
            predictions=predictions,
            timing=summarize(samples, size_mb=1.0),
            export={"kind": "export", "name": recipe, "digest": recipe, "parents": {}},
        )  # fmt: skip

    return make


def test_detectors_are_judged_by_map50_in_the_same_words(detector) -> None:
    baseline, candidate = detector(), detector("int8", found=(18, 20))
    found = verdict("max_drop", candidate, baseline, **OFF)
    assert not found.passed
    assert "mAP50 may be at most 1.00 points below baseline-onnxruntime" in found.words
    assert "objects lost 2, gained 0" in found.words
    assert verdict("max_drop", candidate, baseline, max_drop=0.2, **OFF).passed
    assert verdict("max_drop", baseline, detector("again"), **OFF).words.startswith("Asked: mAP50")


def test_min_map50(detector) -> None:
    assert verdict("min_map50", detector(), detector(), min_map50=0.99, **OFF).passed
    found = verdict("min_map50", detector(found=(10, 10)), detector(), min_map50=0.99, **OFF)
    assert not found.passed
    assert "over 40 objects in 40 images (95% interval" in found.words
    names = [each.name for each in judge(detector(), detector(), GateConfig(min_accuracy=0.5, class_floor=None))]
    assert names == ["max_drop"]


def test_class_floor_of_detectors_is_of_ap50(detector) -> None:
    found = verdict("class_floor", detector("int8", found=(20, 8)), detector())
    assert not found.passed
    assert "'b' has" in found.words
    assert "AP50 of at least 80.0% in every class" in found.words
    weak = detector(found=(20, 8))
    assert verdict("class_floor", detector("int8", found=(20, 8)), weak).passed
    assert verdict("class_floor", detector("int8", found=(20, 7)), weak).passed  # an object may be chance
    assert not verdict("class_floor", detector("int8", found=(20, 1)), weak).passed


def test_a_detector_is_chosen_by_map50(detector) -> None:
    found = select([detector(), detector("int8", found=(18, 20))], gates=GateConfig(max_drop=0.3), profile="accuracy")
    assert found.winner == "baseline-onnxruntime"
    row = found.candidate("int8-onnxruntime")
    assert list(row.scores)[:2] == list(row.differences) == ["map50", "map50_95"]
    assert row.score == row.scores["map50"] < 1
    assert row.difference.interval.estimate == pytest.approx(row.score - found.candidate(found.baseline).score)
    assert row.thresholds["confidence"] == 0.5
    assert "mAP50 100.0%" in found.sentence
