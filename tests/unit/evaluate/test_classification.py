"""Metrics against scikit-learn's other functions, formulas written anew, and cases worked out by hand."""

import numpy as np
import pytest
from sklearn import metrics as sk

from fettle.evaluate import results
from fettle.evaluate.classification import (
    ClassificationMetrics,
    auroc,
    calibration_error,
    classification_metrics,
    negative_log_likelihood,
    reliability,
)


@pytest.fixture
def noisy() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 200)
    probabilities = rng.dirichlet(np.ones(4), 200)
    probabilities[np.arange(200), labels] += 0.4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32), labels, ("a", "b", "c", "d")


def test_agrees_with_scikit_learn(noisy) -> None:
    probabilities, labels, classes = noisy
    found = classification_metrics(probabilities, labels, classes)
    predicted = probabilities.argmax(1)
    assert found.accuracy == pytest.approx(sk.accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    wide = probabilities.astype(np.float64)
    wide /= wide.sum(axis=1, keepdims=True)
    assert found.auroc == pytest.approx(sk.roc_auc_score(labels, wide, multi_class="ovr", average="macro"), abs=1e-6)
    assert found.nll == pytest.approx(sk.log_loss(labels, wide), rel=1e-5)
    for i, report in enumerate(found.per_class):
        truth, taken = labels == i, predicted == i
        hits = (truth & taken).sum()
        assert report.recall == pytest.approx(hits / truth.sum())
        assert report.precision == pytest.approx(hits / taken.sum())
        assert report.support == truth.sum()
    assert np.array(found.confusion).sum() == 200
    assert found.confusion[1][2] == ((labels == 1) & (predicted == 2)).sum()


def test_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    labels = np.array([0, 0, 1, 1])
    found = classification_metrics(probabilities, labels, ("ok", "defective"))
    assert found.accuracy == 0.75
    assert found.confusion == ((2, 0), (1, 1))
    assert found.auroc == 1.0  # both defective images score above both ok ones
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert found.nll == pytest.approx(-np.log([0.9, 0.8, 0.7, 0.4]).mean(), rel=1e-6)


def test_calibration_error_by_hand() -> None:
    """Ten predictions at 0.8, of which six are right: the gap is 0.2. And ten at 0.6, all right: 0.4."""
    probabilities = np.array([[0.8, 0.2]] * 10 + [[0.6, 0.4]] * 10)
    labels = np.array([0] * 6 + [1] * 4 + [0] * 10)
    bins = reliability(probabilities, labels)
    assert len(bins) == 15
    assert sum(each.count for each in bins) == 20
    assert calibration_error(bins) == pytest.approx(0.3)
    assert [each.count for each in bins if each.count] == [10, 10]


def test_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    bins = reliability(np.array([[1.0, 0.0], [0.6, 0.4]]), np.array([0, 0]), bins=5)
    assert [each.count for each in bins] == [0, 0, 1, 0, 1]


def test_perfectly_calibrated_predictions_have_a_small_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 50_000)
    labels = (rng.random(50_000) > confidence).astype(int)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    assert calibration_error(reliability(probabilities, labels)) < 0.01
    assert calibration_error(reliability(probabilities, 1 - labels)) > 0.4


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_auroc_is_none_where_a_class_is_missing(labels: list[int]) -> None:
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    assert auroc(probabilities, np.array(labels)) is None
    assert auroc(np.eye(3), np.array([0, 1, 1])) is None


def test_a_class_without_images_and_never_predicted_scores_zero() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    found = classification_metrics(probabilities, np.array([0, 1]), ("a", "b", "c"))
    assert found.per_class[2].support == 0
    assert found.per_class[2].f1 == 0.0
    assert found.accuracy == 1.0


def test_certainty_in_the_wrong_class_is_finite() -> None:
    assert 10 < negative_log_likelihood(np.array([[1.0, 0.0]], np.float32), np.array([1])) < 100


def test_survives_json(noisy, tmp_path) -> None:
    found = classification_metrics(*noisy)
    results.save(tmp_path / "m.json", found)
    assert results.load(tmp_path / "m.json", ClassificationMetrics) == found
