"""How sure a measured difference is."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval around it, at ``confidence``."""

    estimate: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class PairedDifference:
    """Score of a candidate less that of the baseline, on the same images.

    Attributes:
        interval: Of the difference; negative where the candidate is worse.
        gained: Images (objects for detectors, pairs for TAR) that only the candidate has right.
        lost: Those that only the baseline has right.
        probability: That the score lost is at most ``max_drop``: the share of the resamples where it is.
        max_drop: The drop that ``probability`` speaks of.
        unit: What ``gained`` and ``lost`` count.
    """

    interval: Interval
    gained: int
    lost: int
    probability: float
    max_drop: float
    unit: str = "images"


def paired_difference(
    candidate: np.ndarray,
    baseline: np.ndarray,
    *,
    max_drop: float = 0.0,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Return the paired percentile bootstrap (Efron & Tibshirani 1993) of an accuracy difference.

    The difference of an image is -1, 0 or 1, so drawing N images with replacement is drawing how often
    each of the three occurs: one multinomial draw a resample, whatever N.

    Args:
        candidate: (N,) bool, where the candidate is right, N >= 1.
        baseline: (N,) bool, where the baseline is, on the same images in the same order.
        max_drop: The drop whose probability is wanted.
        confidence: Of the interval.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
    """
    count = len(candidate)
    gained, lost = int((candidate & ~baseline).sum()), int((baseline & ~candidate).sum())
    shares = np.array([gained, lost, count - gained - lost]) / count
    draws = np.random.default_rng(seed).multinomial(count, shares, size=resamples)
    net = draws[:, 0] - draws[:, 1]
    low, high = np.quantile(net / count, tails(confidence))
    return PairedDifference(
        interval=Interval((gained - lost) / count, float(low), float(high), confidence),
        gained=gained,
        lost=lost,
        probability=float((net >= -max_drop * count - 1e-9).mean()),
        max_drop=max_drop,
    )


def resampled_difference(
    estimate: float,
    samples: np.ndarray,
    *,
    gained: np.ndarray,
    lost: np.ndarray,
    max_drop: float,
    confidence: float,
    unit: str = "objects",
) -> PairedDifference:
    """Return the percentile bootstrap of a score less another's, in resamples of the same images.

    Args:
        estimate: The difference on all images.
        samples: (R,) the difference in each resample; NaN where it is not defined.
        gained: (M,) bool: objects that only the candidate finds.
        lost: (M,) bool: objects that only the baseline finds.
        unit: What these are.
        max_drop: The drop whose probability is wanted.
        confidence: Of the interval.
    """
    known = samples[~np.isnan(samples)]
    low, high = np.quantile(known, tails(confidence))
    return PairedDifference(
        interval=Interval(float(estimate), float(low), float(high), confidence),
        gained=int(gained.sum()),
        lost=int(lost.sum()),
        probability=float((known >= -max_drop - 1e-9).mean()),
        max_drop=max_drop,
        unit=unit,
    )


def share_interval(hits: int, count: int, *, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval (Wilson 1927) of a share."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, scale = hits / count, 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z / scale * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), confidence)


def median_ratio(
    candidate: np.ndarray, parent: np.ndarray, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Return the bootstrap interval of the median of ``candidate / parent`` over interleaved rounds.

    A round runs both within a moment of each other, so what disturbs the machine disturbs both.

    Args:
        candidate: (R,) seconds or milliseconds, one a round.
        parent: (R,) the same of the other.
    """
    ratios = np.asarray(candidate, np.float64) / np.asarray(parent, np.float64)
    rows = np.random.default_rng(seed).integers(len(ratios), size=(resamples, len(ratios)))
    low, high = np.quantile(np.median(ratios[rows], axis=1), tails(confidence))
    return Interval(float(np.median(ratios)), float(low), float(high), confidence)


def tails(confidence: float) -> tuple[float, float]:
    """Return the two quantiles between which an interval of that confidence lies."""
    return (1 - confidence) / 2, (1 + confidence) / 2
