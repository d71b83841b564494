"""Profiles: what a user optimizes for, as a rule that picks among the candidates that pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from types import MappingProxyType

from fettle.evaluate import words
from fettle.evaluate.measures import headline
from fettle.evaluate.results import Candidate, Pick

Score = tuple[float, ...]


@dataclass(frozen=True)
class Profile:
    """``score`` compares a candidate with the baseline, the highest is picked; ``rule`` says it in words.

    In the rule, ``{measure}`` stands for the task's headline.
    """

    rule: str
    score: Callable[[Candidate, Candidate], Score]


def _speedup(candidate: Candidate, baseline: Candidate) -> float:
    """Doublings of the speed at batch 1."""
    return log2(baseline.p50_ms / candidate.p50_ms)


def _shrink(candidate: Candidate, baseline: Candidate) -> float:
    """Halvings of the size on disk."""
    return log2(baseline.size_mb / candidate.size_mb)


def _points(candidate: Candidate, baseline: Candidate) -> float:
    return (candidate.score - baseline.score) * 100


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "accuracy": Profile(
            "the highest {measure}; of equals the fastest",
            lambda row, _: (row.score, -row.p50_ms),
        ),
        "balanced": Profile(
            "one point of {measure} counts as much as twice the speed or a quarter of the size",
            lambda row, base: (_points(row, base) + _speedup(row, base) + _shrink(row, base) / 2,),
        ),
        "edge": Profile(
            "half the size counts as much as four times the speed; {measure} is left to the gates",
            lambda row, base: (_shrink(row, base) + _speedup(row, base) / 2,),
        ),
        "throughput": Profile(
            "the most images a second at any batch size; {measure} is left to the gates",
            lambda row, _: (row.best_throughput,),
        ),
    }
)


def pick(profile: str, eligible: Sequence[Candidate], baseline: Candidate, *, task: str) -> Pick:
    """Return the choice of a profile among candidates that pass all gates, and why."""
    rule, score = PROFILES[profile].rule.format(measure=headline(task)), PROFILES[profile].score
    if not eligible:
        return Pick(profile, None, "No candidate passes all gates.")
    best = max(eligible, key=lambda row: score(row, baseline))
    return Pick(profile, best.name, f"{compared(best, baseline, task=task)}. The rule: {rule}.")


def compared(row: Candidate, baseline: Candidate, *, task: str) -> str:
    """Say what a candidate is, against the baseline."""
    measure = headline(task)
    score = f"{measure} {measure.show(row.score)}"
    if row.name == baseline.name:
        return f"the baseline itself, {score}, {words.milliseconds(row.p50_ms)} at batch 1"
    drop = f", {words.difference(row.difference)}" if row.difference else ""
    return (
        f"{words.speed(row.p50_ms / baseline.p50_ms)} than {baseline.name} at batch 1 "
        f"({words.milliseconds(baseline.p50_ms)} → {words.milliseconds(row.p50_ms)}), "
        f"{words.rate(row.best_throughput)} at best, {words.size_change(row.size_mb / baseline.size_mb)}, "
        f"{score}{drop}"
    )
