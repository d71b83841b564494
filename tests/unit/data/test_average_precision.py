"""The wrapper of COCO's evaluator, on cases that a hand can count."""

import numpy as np
import pytest

from fettle.data.average_precision import Matches, coco_evaluate, mean
from fettle.data.boxes import Boxes

TRUTH = Boxes(
    xyxy=np.array([[10, 10, 30, 30], [40, 40, 60, 60], [0, 0, 20, 20]], np.float32),
    labels=np.array([0, 1, 0]),
    starts=np.array([0, 2, 2, 3]),  # the second image has none
    areas=np.array([400, 400, 40_000], np.float32),  # the third image was shrunk ten times
)


def evaluate(rows: list[list[tuple[list[float], float, int]]], classes: int = 2) -> Matches:
    most = max(map(len, rows))
    boxes, scores = np.zeros((len(rows), most, 4), np.float32), np.zeros((len(rows), most), np.float32)
    labels = np.full((len(rows), most), -1)
    for i, row in enumerate(rows):
        for j, (box, score, label) in enumerate(row):
            boxes[i, j], scores[i, j], labels[i, j] = box, score, label
    return coco_evaluate(boxes, scores, labels, TRUTH, classes)


PERFECT = [[([10, 10, 30, 30], 0.9, 0), ([40, 40, 60, 60], 0.8, 1)], [], [([0, 0, 20, 20], 0.7, 0)]]


def test_perfect_detections_score_one_at_every_size() -> None:
    found = evaluate(PERFECT)
    assert found.map50 == found.map50_95 == pytest.approx(1)
    by_size = {name: mean(ap) for name, ap in found.ap_by_size.items()}
    assert by_size == {"small": pytest.approx(1), "medium": pytest.approx(float("nan"), nan_ok=True),
                       "large": pytest.approx(1)}  # fmt: skip
    assert found.hits.sum() == 3
    assert sorted(found.matched[0][found.hits]) == [0, 1, 2]
    assert found.best.f1 == 1
    assert found.best.confidence == pytest.approx(0.7)


def test_a_false_alarm_above_a_hit_halves_its_precision() -> None:
    rows = [PERFECT[0], [([5, 5, 25, 25], 0.95, 1)], PERFECT[2]]
    found = evaluate(rows)
    assert found.ap[0].tolist() == pytest.approx([1.0, 0.5])
    assert not found.hits[1].any()
    assert found.best.precision == pytest.approx(3 / 4)
    assert found.best.recall == 1


def test_a_shifted_box_counts_up_to_its_overlap() -> None:
    shifted = [[([10, 10, 30, 26], 0.9, 0), PERFECT[0][1]], [], PERFECT[2]]  # IoU .8
    found = evaluate(shifted)
    assert found.map50 == pytest.approx(1)
    precise = (7 * 1.0 + 3 * 51 / 101 * 0.5) / 10  # from .85 up: one of two boxes of class 0, found second
    assert found.ap[:, 0].mean() == pytest.approx(precise)


def test_a_class_without_a_box_does_not_count_and_nothing_found_is_zero() -> None:
    assert evaluate(PERFECT, classes=3).map50 == pytest.approx(1)
    nothing = evaluate([[], [([0, 0, 5, 5], 0.9, 1)], []])
    assert nothing.map50 == 0
    assert nothing.best.f1 == 0
    empty = coco_evaluate(np.zeros((3, 0, 4)), np.zeros((3, 0)), np.zeros((3, 0), int), TRUTH, 2)
    assert empty.map50 == 0


def test_a_second_detection_of_a_box_is_a_false_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate([[*PERFECT[0], ([11, 10, 30, 30], 0.85, 0)], [], PERFECT[2]])
    assert found.hits[0].tolist() == [True, True, False]
    assert (found.best.precision, found.best.recall) == (3 / 4, 1)
    assert capsys.readouterr().out == ""
