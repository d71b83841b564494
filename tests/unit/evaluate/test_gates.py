"""Gates: where they pass, where they fail, and that they say so."""

import numpy as np
import pytest

from fettle.evaluate.gates import judge
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
