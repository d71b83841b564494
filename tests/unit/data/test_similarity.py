"""Retrieval and verification, on cases that a hand can count and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from fettle.data.similarity import Similarities, Verification


def on_circle(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)


def test_by_hand() -> None:
    #        a at 0 and 10, b at 12 and 40, c alone at 90
    found = Similarities.of(on_circle(0, 10, 12, 40, 90), np.array([0, 0, 1, 1, 2]))
    assert found.mates.tolist() == [1, 1, 1, 1, 0]
    assert found.queries.tolist() == [True] * 4 + [False]
    assert found.nearest.tolist() == [1, 2, 1, 2, 3]
    assert found.hits(1).tolist() == [True, False, False, True]
    assert found.hits(2).tolist() == [True, True, False, True]  # 12 has 10 and 0 nearer than 40
    assert found.average_precision().tolist() == [1, 0, 0, 1]  # one mate each: MAP@1 is rank-1
    assert len(found.verification.genuine) == 2
    assert len(found.verification.impostor) == 8


def test_average_precision_counts_up_to_the_number_of_mates() -> None:
    # The query at 0: another person at 1, its mates at 2 and 3.
    found = Similarities.of(on_circle(0, 1, 2, 3), np.array([0, 1, 0, 0]))
    assert found.average_precision()[0] == pytest.approx((0 + 1 / 2) / 2)


def test_thresholds_let_pass_what_they_promise() -> None:
    generator = np.random.default_rng(0)
    pairs = Verification(
        generator.normal(0.6, 0.2, 500).astype(np.float32), generator.normal(0.1, 0.2, 4000).astype(np.float32)
    )
    for share in (0.001, 0.01, 0.1):
        threshold = pairs.threshold_at(share)
        assert pairs.false_accepts(threshold) <= share
        assert pairs.false_accepts(threshold - 1e-6) >= share or share * 4000 < 1
    truth = np.repeat([1, 0], [500, 4000])
    far, tar, _ = roc_curve(truth, np.concatenate([pairs.genuine, pairs.impostor]))
    assert pairs.true_accepts(pairs.threshold_at(0.01)) == pytest.approx(tar[far <= 0.01].max())
    crossing = np.argmin(np.abs(far - (1 - tar)))
    assert pairs.equal_error_rate == pytest.approx((far[crossing] + 1 - tar[crossing]) / 2, abs=0.003)


def test_all_may_pass() -> None:
    pairs = Verification(np.float32([0.5]), np.float32([0.1, 0.2]))
    assert pairs.threshold_at(1.0) == -1
    assert pairs.true_accepts(pairs.threshold_at(0.0)) == 1
    assert pairs.equal_error_rate == 0
