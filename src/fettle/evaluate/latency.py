"""Latency and throughput of several models on one machine, interleaved.

Models that are timed one after the other are compared across changes of the machine: clock, heat,
neighbours. Here every round runs every contestant once, in an order drawn anew, so that what
disturbs the machine disturbs all alike, and differences can be judged round by round.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from fettle.evaluate.intervals import Interval, tails
from fettle.evaluate.results import Timing

TURN_SECONDS = 0.06  # of timed calls at batch 1 in a turn: short, so that a round is over before the machine changes
MIN_CALLS, MAX_CALLS = 3, 10
Samples = dict[int, list[list[float]]]


class Contestant(Protocol):
    """Something that runs a batch and says how long each call took."""

    def run(self, batch: int, calls: int) -> Sequence[float]:
        """Make one call that is not timed, then ``calls`` timed ones; return their seconds."""
        ...


def interleave(
    contestants: Mapping[str, Contestant],
    *,
    batches: Sequence[int],
    rounds: int,
    seed: int = 0,
    on_round: Callable[[int], None] | None = None,
) -> dict[str, Samples]:
    """Run all contestants for ``rounds`` rounds.

    Args:
        contestants: By name.
        batches: Batch sizes.
        rounds: Rounds; each runs every contestant at every batch size.
        seed: Seed of the order within a round.
        on_round: Called with the number of rounds done.

    Returns:
        Seconds of each call: by contestant, by batch size, by round.
    """
    calls = {name: _calls_a_turn(contestant, batches) for name, contestant in contestants.items()}
    samples: dict[str, Samples] = {name: {batch: [] for batch in batches} for name in contestants}
    order, names = np.random.default_rng(seed), list(contestants)
    for done in range(1, rounds + 1):
        for name in order.permutation(names).tolist():
            for batch in batches:
                turn = contestants[name].run(batch, calls[name] if batch == 1 else 1)
                samples[name][batch].append(list(turn))
        if on_round:
            on_round(done)
    return samples


def summarize(samples: Samples, **facts: object) -> Timing:
    """Return what the seconds of one contestant amount to; ``facts`` are the fields that were not timed."""
    single = np.concatenate(samples[1]) * 1e3
    p50, p95 = np.percentile(single, (50, 95))
    medians = {batch: np.array([np.median(turn) for turn in turns]) for batch, turns in samples.items()}
    timing: dict[str, object] = {
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "p95_interval": _p95_interval(samples[1], float(p95)),
        "calls": len(single),
        "throughput": {batch: float(batch / np.median(seconds)) for batch, seconds in medians.items()},
        "round_ms": {batch: tuple((seconds / batch * 1e3).tolist()) for batch, seconds in medians.items()},
    }
    return Timing(**timing, **facts)  # type: ignore[arg-type]


def _calls_a_turn(contestant: Contestant, batches: Sequence[int]) -> int:
    """Warm every batch size up; return how many calls at batch 1 fill a turn."""
    for batch in batches:
        contestant.run(batch, 1)
    seconds = float(np.median(contestant.run(1, MIN_CALLS)))
    return int(np.clip(TURN_SECONDS / max(seconds, 1e-6), MIN_CALLS, MAX_CALLS))


def _p95_interval(turns: list[list[float]], p95: float, *, confidence: float = 0.95, resamples: int = 500) -> Interval:
    """Resample whole rounds: calls of one round are not independent."""
    rng = np.random.default_rng(0)
    milliseconds = np.array(turns) * 1e3
    rows = rng.integers(len(milliseconds), size=(resamples, len(milliseconds)))
    p95s = np.percentile(milliseconds[rows].reshape(resamples, -1), 95, axis=1)
    low, high = np.quantile(p95s, tails(confidence))
    return Interval(p95, float(low), float(high), confidence)
