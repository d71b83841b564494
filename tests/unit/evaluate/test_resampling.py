"""Average precision under resampling: COCO's own number, the definition, and the promise of the interval."""

import numpy as np
import pytest

from fettle.data.average_precision import coco_evaluate
from fettle.data.boxes import Boxes, starts_of
from fettle.evaluate.box_outcome import BoxOutcome
from fettle.evaluate.detection_metrics import percentiles
from fettle.evaluate.detections import Detections
from fettle.evaluate.resampling import draws, resample

THRESHOLDS = {"confidence": 0.3, "iou": 0.5, "max_detections": 10}
CLASSES = 3


def simulated(images: int, *, seed: int, noise: float = 3.0, skill: float = 1.0, scenes: int = 0) -> Detections:
    """Return detections of boxes on a grid: shaken by ``noise`` pixels, wrong ones between them, tied scores.

    ``scenes`` seeds the truth, ``seed`` what is answered; scores are rounded to hundredths.
    """
    truth_rng, rng = np.random.default_rng(scenes), np.random.default_rng(seed)
    counts = truth_rng.integers(0, 4, images)
    cells = np.concatenate([truth_rng.choice(9, count, replace=False) for count in counts])
    corners = np.stack([cells % 3, cells // 3], axis=1) * 40.0
    xyxy = np.concatenate([corners, corners + 30], axis=1).astype(np.float32)
    labels = truth_rng.integers(CLASSES, size=len(xyxy))
    truth = Boxes(xyxy, labels, starts_of(counts), np.full(len(xyxy), 900, np.float32))
    boxes, scores = np.zeros((images, 8, 4), np.float32), np.zeros((images, 8), np.float32)
    found = np.full((images, 8), -1)
    for image in range(images):
        right, known = truth.of(image)
        wrong = rng.uniform(0, 80, (rng.integers(0, 5), 2))
        at = np.concatenate([right + rng.normal(0, noise, right.shape), np.concatenate([wrong, wrong + 30], axis=1)])
        sure = np.concatenate([rng.uniform(0.2, 1, len(right)) ** (1 / skill), rng.uniform(0, 0.8, len(wrong))])
        named = np.concatenate([known, rng.integers(CLASSES, size=len(wrong))])
        order = np.argsort(-sure.round(2), kind="stable")[:8]
        boxes[image, : len(order)], scores[image, : len(order)] = at[order], sure.round(2)[order]
        found[image, : len(order)] = named[order]
    return Detections(boxes, scores, found, truth, CLASSES)


def taken(detections: Detections, rows: np.ndarray) -> Detections:
    return Detections(
        detections.boxes[rows], detections.scores[rows], detections.labels[rows], detections.truth.take(rows), CLASSES
    )


@pytest.mark.parametrize("seed", range(5))
def test_every_image_once_is_cocos_own_number(seed: int) -> None:
    detections = simulated(40, seed=seed, scenes=seed)
    found = resample(detections, np.ones((1, 40), np.float32))
    assert 0.2 < detections.matches.map50_95 < detections.matches.map50 < 0.98
    assert found.map50[0] == pytest.approx(detections.matches.map50, abs=1e-14)
    assert found.map50_95[0] == pytest.approx(detections.matches.map50_95, abs=1e-14)
    np.testing.assert_allclose(found.by_class[0], detections.matches.ap[0], atol=1e-14)


def test_a_resample_is_what_coco_says_of_those_images() -> None:
    """Each image as often as it was drawn, evaluated anew, without equal scores, whose order would be another."""
    detections = simulated(25, seed=3)
    rng = np.random.default_rng(0)
    untied = np.sort(detections.scores + rng.uniform(0, 1e-3, detections.scores.shape).astype(np.float32))[:, ::-1]
    detections = Detections(detections.boxes, untied, detections.labels, detections.truth, CLASSES)
    weights = draws(25, 6)
    found = resample(detections, weights)
    for row, counts in enumerate(weights.astype(int)):
        again = taken(detections, np.repeat(np.arange(25), counts))
        coco = coco_evaluate(again.boxes, again.scores, again.labels, again.truth, CLASSES, by_size=False)
        assert found.map50[row] == pytest.approx(coco.map50, abs=1e-12)
        assert found.map50_95[row] == pytest.approx(coco.map50_95, abs=1e-12)


def test_a_resample_without_objects_is_no_number() -> None:
    detections = simulated(10, seed=0)
    empty = (detections.truth.counts == 0).astype(np.float32)
    assert empty.any()
    assert np.isnan(resample(detections, empty[None]).map50[0])


def test_is_paired() -> None:
    """The same detections differ by nothing in any resample, though each score alone is unsure."""
    one, two = (BoxOutcome(simulated(60, seed=1), THRESHOLDS) for _ in range(2))
    paired = one.against(two, max_drop=0.0, confidence=0.95)["map50"]
    assert (paired.interval.low, paired.interval.high, paired.probability) == (0, 0, 1)
    assert (paired.gained, paired.lost, paired.unit) == (0, 0, "objects")
    alone = one.scores(confidence=0.95)["map50"].interval
    assert alone.high - alone.low > 0.03


def test_gained_and_lost_objects_are_those_at_the_operating_point() -> None:
    candidate, baseline = (BoxOutcome(simulated(80, seed=seed), THRESHOLDS) for seed in (1, 2))
    paired = candidate.against(baseline, max_drop=0.0, confidence=0.95)["map50"]
    assert paired.gained == (candidate.found & ~baseline.found).sum() > 0
    assert paired.lost == (baseline.found & ~candidate.found).sum() > 0
    by_class = [candidate.class_against(baseline, label, confidence=0.95) for label in range(CLASSES)]
    assert sum(each.gained for each in by_class) == paired.gained
    assert np.mean([each.interval.estimate for each in by_class]) == pytest.approx(paired.interval.estimate)


def test_covers_the_truth_as_often_as_promised() -> None:
    """Two detectors of known difference (that on very many images), on many small sets of images."""
    noises, weights = (5.5, 4.0), draws(50, 200)
    true = np.subtract(*(simulated(1500, seed=1, scenes=99, noise=noise).matches.map50 for noise in noises))
    held = []
    for trial in range(40):
        both = (simulated(50, seed=10 + 2 * trial + i, scenes=trial, noise=noise) for i, noise in enumerate(noises))
        samples = np.subtract(*(resample(each, weights).map50 for each in both))
        interval = percentiles(0.0, samples, 0.9)
        held.append(interval.low <= true <= interval.high)
    assert true < -0.05
    assert 0.75 <= np.mean(held) <= 0.99
