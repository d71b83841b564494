"""Never worse: what is no better than what it was made from is dropped."""

from collections.abc import Sequence

import numpy as np

from fettle.evaluate import words
from fettle.evaluate.evidence import Evidence
from fettle.evaluate.intervals import Interval, PairedDifference, median_ratio
from fettle.evaluate.measures import headline

LEAST_GAIN = 0.02  # of time; less is not worth another model, however surely it is measured
LEAST_SHRINK = 0.05  # of size on disk
CONFIDENCE = 0.95


def gain(candidate: Evidence, parent: Evidence) -> str:
    """Say what the way from its parent to the candidate brought."""
    batch, ratios = _time_ratios(candidate, parent)
    return (
        f"{words.time_ratio(ratios[0])} than {parent.name} at batch 1, {words.time_ratio(ratios[1])} at batch {batch}, "
        f"{words.size_change(_size_ratio(candidate, parent))}, {headline(candidate.validation.task)} "
        f"{words.difference(_accuracy(candidate, parent))}"
    )


def worse_than(candidate: Evidence, ancestors: Sequence[Evidence]) -> str | None:
    """Return why ``candidate`` is dropped, or ``None``.

    It is kept if it is faster than each of its ancestors, beyond noise, at batch 1 or at the largest batch; or as fast
    and smaller; or better, beyond chance, as a vote or more views of an image are meant to be. Smaller but slower is
    not kept.

    Args:
        candidate: Who is judged.
        ancestors: The candidates that it was made from, in the same runtime; else what it has to do better than.
    """
    for ancestor in ancestors:
        batch, ratios = _time_ratios(candidate, ancestor)
        if any(ratio.high < 1 - LEAST_GAIN for ratio in ratios):
            continue
        slower = [f"batch {size}" for size, ratio in zip((1, batch), ratios, strict=True) if ratio.low > 1 + LEAST_GAIN]
        if not slower and _size_ratio(candidate, ancestor) <= 1 - LEAST_SHRINK:
            continue
        if _accuracy(candidate, ancestor).interval.low > 0:
            continue
        verdict = f"is slower at {' and '.join(slower)} than" if slower else "is neither surely faster nor smaller than"
        return f"{verdict} {ancestor.name}, and not surely better: {gain(candidate, ancestor)}"
    return None


def _accuracy(candidate: Evidence, other: Evidence) -> PairedDifference:
    """Return the paired difference of the headline score."""
    differences = candidate.outcome.against(other.outcome, max_drop=0.0, confidence=CONFIDENCE)
    return differences[headline(candidate.validation.task).name]


def _time_ratios(candidate: Evidence, other: Evidence) -> tuple[int, tuple[Interval, Interval]]:
    """Return the largest batch, and the ratios of time at batch 1 and at that batch."""
    mine, theirs = candidate.timing.round_ms, other.timing.round_ms
    largest = max(set(mine) & set(theirs))
    return largest, (_ratio(mine[1], theirs[1]), _ratio(mine[largest], theirs[largest]))


def _ratio(mine: Sequence[float], theirs: Sequence[float]) -> Interval:
    return median_ratio(np.array(mine), np.array(theirs))


def _size_ratio(candidate: Evidence, other: Evidence) -> float:
    return candidate.size_mb / other.size_mb if other.size_mb else 1.0
