"""Operating point, confusion, parity and cut, on cases that a hand can count."""

import numpy as np
import pytest

from fettle.data.boxes import Boxes, starts_of
from fettle.errors import ArtifactError
from fettle.evaluate.box_parity import box_parity
from fettle.evaluate.confusion import confusion_matrix
from fettle.evaluate.detection_metrics import detection_metrics
from fettle.evaluate.detections import Detections, cut
from fettle.evaluate.operating_point import curve, f1_curve, fit_confidence
from fettle.evaluate.overlap import iou, pair
from fettle.evaluate.predict import check_detections

A, B, C = [0.0, 0, 20, 20], [30.0, 30, 50, 50], [30.0, 0, 50, 20]
LOW = {"confidence": 0.001, "iou": 0.5, "max_detections": 300}
Row = tuple[list[float], float, int]


def arrays(images: list[list[Row]], places: int = 5) -> dict[str, np.ndarray]:
    """Return outputs of a full curve."""
    found = {
        "boxes": np.zeros((len(images), places, 4), np.float32),
        "scores": np.zeros((len(images), places), np.float32),
        "labels": np.full((len(images), places), -1, np.int32),
        "count": np.array([[len(image)] for image in images], np.int32),
    }
    for i, image in enumerate(images):
        for j, (box, score, label) in enumerate(image):
            found["boxes"][i, j], found["scores"][i, j], found["labels"][i, j] = box, score, label
    return found


def detections(truth: list[list[tuple[list[float], int]]], images: list[list[Row]], classes: int = 2) -> Detections:
    boxes = [box for image in truth for box, _ in image]
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    labels = np.array([label for image in truth for _, label in image], np.int64)
    starts = starts_of(np.array([len(image) for image in truth]))
    found = arrays(images)
    areas = (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
    return Detections(found["boxes"], found["scores"], found["labels"], Boxes(xyxy, labels, starts, areas), classes)


def test_the_confidence_lies_midway_below_the_best_f1() -> None:
    """Right .9, right .5, wrong .4, right .2 of three objects: F1 .5, .8, .67, .86."""
    truth = [[(A, 0), (B, 0), (C, 0)]]
    answers = [[(A, 0.9, 0), (B, 0.5, 0), ([60.0, 60, 70, 70], 0.4, 0), (C, 0.2, 0)]]
    found = detections(truth, answers)
    assert curve(found, max_detections=300).f1.tolist() == pytest.approx([2 / 4, 4 / 5, 4 / 6, 6 / 7])
    assert fit_confidence(found, LOW)["confidence"] == pytest.approx((0.2 + 0.001) / 2)
    few = fit_confidence(found, {**LOW, "max_detections": 3})  # the last right one is never answered
    assert few == {**LOW, "max_detections": 3, "confidence": pytest.approx((0.5 + 0.4) / 2)}


def test_equal_scores_are_not_parted() -> None:
    """A right and a wrong one at .6: both or none; the one at .9 alone is better."""
    found = detections([[(A, 0)], []], [[(A, 0.9, 0)], [(B, 0.6, 0), (C, 0.6, 0)]])
    assert fit_confidence(found, LOW)["confidence"] == pytest.approx(0.75)
    tied = detections([[(A, 0)], [(B, 0)]], [[(A, 0.6, 0)], [(B, 0.6, 0), (C, 0.6, 0)]])
    confidence = fit_confidence(tied, LOW)["confidence"]
    assert confidence == pytest.approx((0.6 + 0.001) / 2)
    assert curve(tied, max_detections=300).at(confidence) == (3, 2)


def test_the_best_f1_is_found_by_trying_every_confidence() -> None:
    rng = np.random.default_rng(0)
    truth = [[(A, int(rng.integers(2))), (B, int(rng.integers(2)))] for _ in range(30)]
    answers = [
        sorted(((box, float(rng.uniform(0.05, 1)), int(rng.integers(2))) for box in (A, B, C)), key=lambda row: -row[1])
        for _ in range(30)
    ]
    found = detections(truth, answers)
    fitted = fit_confidence(found, LOW)
    tried = []
    for confidence in np.linspace(0.02, 0.98, 97):
        given = found.scores >= confidence
        tried.append(2 * (found.matches.hits & given).sum() / (given.sum() + 60))
    mine = detection_metrics(found, fitted, ("a", "b"))
    assert mine.f1 >= max(tried)
    assert max(mine.f1_curve) <= mine.f1
    assert f1_curve(curve(found, max_detections=300))[0] == detection_metrics(found, LOW, ("a", "b")).f1


def test_confusion_has_a_background() -> None:
    truth = [[(A, 0), (B, 1), (C, 0)], [(A, 1)], []]
    answers = [
        [(A, 0.9, 0), (B, 0.8, 0), ([60.0, 0, 70, 10], 0.7, 1)],  # right; b taken for a; alarm; C missed
        [(A, 0.9, 0), ([1.0, 1, 20, 20], 0.8, 1)],  # the right class lies over it too, less sure: that one counts
        [(A, 0.3, 1)],
    ]
    counts = confusion_matrix(detections(truth, answers), {**LOW, "confidence": 0.25})
    assert counts.tolist() == [[1, 0, 1], [1, 1, 0], [1, 2, 0]]
    assert counts[:2].sum() == 4  # every object once
    assert counts[:, :2].sum() == 6  # every answer once
    strict = confusion_matrix(detections(truth, answers), {**LOW, "confidence": 0.35})
    assert strict.tolist() == [[1, 0, 1], [1, 1, 0], [1, 1, 0]]


def test_perfect_is_one_and_shifted_falls_with_the_overlap() -> None:
    truth = [[(A, 0)], [(B, 1)]]
    perfect = detection_metrics(detections(truth, [[(A, 0.9, 0)], [(B, 0.9, 1)]]), LOW, ("a", "b"))
    assert (perfect.map50, perfect.map50_95, perfect.f1) == pytest.approx((1, 1, 1))
    assert perfect.precision_curve == (1.0,) * 101
    half = detection_metrics(detections(truth, [[([0.0, 0, 20, 12], 0.9, 0)], [([30, 30, 50, 42], 0.9, 1)]]), LOW, "ab")
    assert half.map50 == pytest.approx(1)  # IoU .6
    assert half.map50_95 == pytest.approx(0.3)  # .50, .55 and .60 of ten
    off = detection_metrics(detections(truth, [[(C, 0.9, 0)], [(A, 0.9, 1)]]), LOW, ("a", "b"))
    assert (off.map50, off.recall, off.precision) == (0, 0, 0)


def test_sizes_are_those_of_the_original() -> None:
    found = detections([[(A, 0)], [(B, 0)]], [[(A, 0.9, 0)], []])
    shrunk = Boxes(found.truth.xyxy, found.truth.labels, found.truth.starts, np.float32([400, 40_000]))
    sizes = detection_metrics(Detections(found.boxes, found.scores, found.labels, shrunk, 2), LOW, ("a", "b")).by_size
    assert {name: (size.support, size.ap50) for name, size in sizes.items()} == {
        "small": (1, pytest.approx(1)),
        "medium": (0, None),
        "large": (1, 0),
    }


def test_cut_fills_what_is_not_there() -> None:
    found = cut(arrays([[(A, 0.9, 0), (B, 0.5, 1), (C, 0.1, 0)], []]), {"confidence": 0.5, "max_detections": 10})
    assert {name: array.shape for name, array in found.items()} == {
        "boxes": (2, 10, 4), "scores": (2, 10), "labels": (2, 10), "count": (2, 1),
    }  # fmt: skip
    assert found["labels"][0].tolist() == [0, 1] + [-1] * 8
    assert found["boxes"][0, 2:].sum() == found["scores"][:, 2:].sum() == 0
    assert found["count"].tolist() == [[2], [0]]
    fewer = cut(arrays([[(A, 0.9, 0), (B, 0.5, 1)]]), {"confidence": 0.001, "max_detections": 1})
    assert fewer["labels"].tolist() == [[0]]


def test_parity_counts_what_only_one_of_the_two_has() -> None:
    mine = arrays([[(A, 0.9, 0), (C, 0.8, 1)], []])
    theirs = arrays([[([0.0, 0, 20, 19.5], 0.7, 0), (B, 0.6, 0)], []])
    thresholds = {"confidence": 0.5, "max_detections": 10}
    found = box_parity(mine, thresholds, theirs, thresholds)
    assert found.agreement == 2 / 4
    assert found.overlap == pytest.approx(0.975)
    assert (found.max_difference, found.mean_difference) == pytest.approx((0.2, 0.2))
    same = box_parity(mine, thresholds, mine, thresholds)
    assert (same.agreement, same.overlap, same.max_difference) == (1, pytest.approx(1), 0)
    nothing = box_parity(*[arrays([[]]), thresholds] * 2)
    assert (nothing.agreement, nothing.overlap) == (1, None)
    with pytest.raises(ArtifactError, match="2 images cannot be compared with a reference of 1"):
        box_parity(mine, thresholds, arrays([[]]), thresholds)


def test_overlap_and_pairs() -> None:
    boxes = np.float32([[0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 0, 0]])
    assert iou(boxes, boxes).round(4).tolist() == [[1, 0.3333, 0], [0.3333, 1, 0], [0, 0, 0]]
    assert pair(np.array([[0.9, 0.8], [0.95, 0.6]]), least=0.5) == [(0, 0), (1, 1)]  # the first row chooses first
    assert pair(np.zeros((2, 0)), least=0.5) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": np.full((1, 5, 4), np.nan, np.float32)}, "NaN or infinity for 1 of 1 images"),
        ({"boxes": np.float32([[[0, 0, 99, 9]] + [[0, 0, 0, 0]] * 4])}, "boxes outside the image"),
        ({"boxes": np.float32([[[9, 0, 3, 9]] + [[0, 0, 0, 0]] * 4])}, "boxes that end before they begin"),
        ({"scores": np.float32([[0.1, 0.2, 0, 0, 0]])}, "scores that do not fall"),
        ({"scores": np.float32([[1.2, 0.2, 0, 0, 0]])}, "scores that do not fall, or are not in"),
        ({"labels": np.int32([[2, 1, -1, -1, -1]])}, "not one of its 2 classes"),
        ({"labels": np.int32([[0, 1, 1, -1, -1]])}, "labels beyond the count"),
        ({"count": np.int32([2])}, "outputs of shapes"),
    ],
)
def test_outputs_that_must_not_be_served_are_refused(change, message: str) -> None:
    good = arrays([[(A, 0.9, 0), (B, 0.5, 1)]])
    assert list(check_detections(tuple(good.values()), 2, 64, "it")) == ["boxes", "scores", "labels", "count"]
    with pytest.raises(ArtifactError, match=message):
        check_detections(tuple((good | change).values()), 2, 64, "it")
