"""The wrapper of COCO's evaluator, on cases that a hand can count."""

import numpy as np
import pytest
import torch

from fettle.data.average_precision import Matches, coco_evaluate, mean
from fettle.data.boxes import Boxes
from fettle.models.yolov8 import offline

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


def test_agrees_with_ultralytics_on_the_same_detections() -> None:
    generator = np.random.default_rng(0)
    truth, boxes, scores, labels = scattered(generator, images=200, objects=4, alarms=3)
    found = coco_evaluate(boxes, scores, labels, truth, 3)
    theirs = as_ultralytics(truth, boxes, scores, labels)
    assert 0.2 < found.map50_95 < found.map50 < 0.95
    assert found.map50 == pytest.approx(theirs[:, 0].mean(), abs=0.005)
    assert found.map50_95 == pytest.approx(theirs.mean(), abs=0.005)


def scattered(
    generator: np.random.Generator, *, images: int, objects: int, alarms: int
) -> tuple[Boxes, np.ndarray, np.ndarray, np.ndarray]:
    """Return random objects of three classes, and detections: each moved a little, with false alarms among them."""
    corners = generator.uniform(0, 80, (images, objects, 2))
    xyxy = np.concatenate([corners, corners + generator.uniform(10, 20, corners.shape)], 2).astype(np.float32)
    classes = generator.integers(3, size=(images, objects))
    elsewhere = xyxy[:, :alarms] + generator.uniform(-40, 40, (images, alarms, 1)).astype(np.float32)
    boxes = np.concatenate([xyxy + generator.normal(0, 1.2, xyxy.shape), elsewhere], 1).astype(np.float32)
    labels = np.concatenate([classes, generator.integers(3, size=(images, alarms))], 1)
    scores = np.concatenate([generator.beta(4, 2, (images, objects)), generator.beta(2, 4, (images, alarms))], 1)
    order = np.argsort(-scores, 1)
    boxes, scores, labels = (
        boxes[np.arange(images)[:, None], order],
        *(np.take_along_axis(each, order, 1) for each in (scores, labels)),
    )
    areas = (xyxy[..., 2:] - xyxy[..., :2]).prod(2).ravel()
    starts = np.arange(images + 1) * objects
    return Boxes(xyxy.reshape(-1, 4), classes.ravel(), starts, areas), boxes, scores.astype(np.float32), labels


def as_ultralytics(truth: Boxes, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return average precision by class and IoU, as Ultralytics' validator comes to it."""
    offline.load()
    from ultralytics.models.yolo.detect import DetectionValidator
    from ultralytics.utils.metrics import ap_per_class, box_iou

    validator = object.__new__(DetectionValidator)
    validator.iouv = torch.linspace(0.5, 0.95, 10)
    hits = []
    for index in range(len(truth)):
        xyxy, classes = (torch.from_numpy(each) for each in truth.of(index))
        overlap = box_iou(xyxy, torch.from_numpy(boxes[index]))
        hits.append(validator.match_predictions(torch.from_numpy(labels[index]), classes, overlap).numpy())
    return np.asarray(ap_per_class(np.concatenate(hits), scores.ravel(), labels.ravel(), truth.labels)[5])
