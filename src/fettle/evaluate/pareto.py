"""The Pareto front: candidates that none beats in everything."""

from collections.abc import Sequence

from fettle.evaluate.results import Candidate


def pareto_front(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the names of those that no other equals in score, latency and size and beats in one, in order."""
    return tuple(row.name for row in candidates if not any(dominates(other, row) for other in candidates))


def dominates(one: Candidate, other: Candidate) -> bool:
    """Return whether ``one`` is nowhere worse than ``other`` and somewhere better."""
    mine, theirs = _costs(one), _costs(other)
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def _costs(row: Candidate) -> tuple[float, float, float]:
    return -row.score, row.p50_ms, row.size_mb
