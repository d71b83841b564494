"""Intervals against plain resampling, and against their promise: how often they hold the truth."""

import numpy as np
import pytest
from scipy.stats import binomtest

from fettle.evaluate.intervals import median_ratio, paired_difference, share_interval


def outcomes(gained: int, lost: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    candidate = [True] * gained + [False] * lost + [True] * both + [False] * neither
    baseline = [False] * gained + [True] * lost + [True] * both + [False] * neither
    return np.array(candidate), np.array(baseline)


def test_estimate_and_counts() -> None:
    found = paired_difference(*outcomes(3, 8, 80, 9))
    assert (found.gained, found.lost) == (3, 8)
    assert found.interval.estimate == pytest.approx(-0.05)
    assert found.interval.low < -0.05 < found.interval.high


def test_equals_resampling_images_one_by_one() -> None:
    candidate, baseline = outcomes(6, 15, 150, 29)
    found = paired_difference(candidate, baseline, max_drop=0.04)
    rows = np.random.default_rng(1).integers(200, size=(20_000, 200))
    means = (candidate.astype(int) - baseline)[rows].mean(axis=1)
    assert found.interval.low == pytest.approx(np.quantile(means, 0.025), abs=0.0051)
    assert found.interval.high == pytest.approx(np.quantile(means, 0.975), abs=0.0051)
    assert found.probability == pytest.approx((means >= -0.04 - 1e-9).mean(), abs=0.015)


def test_is_paired() -> None:
    """Two models that err on the same images differ surely by nothing, whatever their accuracy."""
    same = np.array([True] * 60 + [False] * 40)
    shuffled = np.random.default_rng(0).permutation(same)
    agreeing, independent = paired_difference(same, same), paired_difference(shuffled, same)
    assert (agreeing.interval.low, agreeing.interval.high, agreeing.probability) == (0, 0, 1)
    assert independent.interval.estimate == 0
    assert independent.interval.high - independent.interval.low > 0.2


def test_covers_the_truth_as_often_as_promised() -> None:
    rng, held = np.random.default_rng(5), 0
    for _ in range(400):
        kind = rng.choice(3, size=400, p=[0.06, 0.10, 0.84])  # the true difference is -0.04
        candidate, baseline = kind != 1, kind != 0
        interval = paired_difference(candidate, baseline, resamples=1000, seed=int(rng.integers(1 << 30))).interval
        held += interval.low <= -0.04 <= interval.high
    assert 0.91 <= held / 400 <= 0.985


def test_is_seeded() -> None:
    data = outcomes(3, 8, 80, 9)
    assert paired_difference(*data, seed=1) == paired_difference(*data, seed=1)


def test_confidence_widens() -> None:
    data = outcomes(10, 18, 160, 12)
    wide, narrow = (paired_difference(*data, confidence=share).interval for share in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (10, 10), (3, 40), (195, 200)])
def test_share_interval_is_wilsons(hits: int, count: int) -> None:
    found, expected = share_interval(hits, count), binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_median_ratio_follows_the_rounds_not_the_machine() -> None:
    """The machine is three times as slow in half of the rounds; the candidate always takes 0.8 of the parent."""
    rng = np.random.default_rng(2)
    machine = np.where(np.arange(30) % 2, 3.0, 1.0)
    parent = machine * rng.normal(1, 0.02, 30)
    candidate = 0.8 * machine * rng.normal(1, 0.02, 30)
    found = median_ratio(candidate, parent)
    assert found.estimate == pytest.approx(0.8, abs=0.03)
    assert 0.75 < found.low < found.high < 0.85
