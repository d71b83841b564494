"""Where the time of a run went: what each step worked, and what it waited for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fettle.report.sources import Sources

Brief = Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """The making of an artifact, in seconds since the run began.

    Attributes:
        name: Kind and name of the artifact.
        start: When its step began to work.
        end: When that ended.
        ready: When the last artifact was there that it is made of.
    """

    name: str
    start: float
    end: float
    ready: float


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell of every step of this run whose artifact the report tells of, or is made of; the others were cached."""
    if sources.began is None:
        return None
    found = [brief for each in sources.artifacts for brief in _lineage(each.card.brief())]
    # An artifact that was made again, because its cache was gone, is told of by its last making.
    briefs = {brief["digest"]: brief for brief in sorted(found, key=lambda each: each.get("started", ""))}
    made = spans(briefs, sources.began)
    if not made:
        return None
    busy = _merged((each.start, each.end) for each in made)
    rows = [
        {
            "name": each.name,
            "start": each.start,
            "waited": max(0.0, each.start - each.ready),
            "idle": _idle(each.ready, each.start, busy),
            "worked": each.end - each.start,
        }
        for each in made
    ]
    end = max(each.end for each in made)
    return {"rows": rows, "cached": len(briefs) - len(made), "seconds": end, "idle": _idle(0.0, end, busy)}


def spans(briefs: Mapping[str, Brief], began: datetime) -> list[Span]:
    """Return what was made since ``began``, in the order in which it was begun.

    Args:
        briefs: Cards in short, by digest.
        began: When the run began.
    """
    times = {digest: time for digest, brief in briefs.items() if (time := _time(brief, began))}
    found = []
    for digest, (start, end) in times.items():
        brief = briefs[digest]
        parents = (parent["digest"] for parent in brief["parents"].values())
        ready = max((times[parent][1] for parent in parents if parent in times), default=0.0)
        kind, name = brief["kind"], brief["name"]
        found.append(Span(kind if kind == name else f"{kind} {name}", start, end, ready))
    return sorted(found, key=lambda each: each.start)


def _lineage(brief: Brief) -> Iterator[Brief]:
    yield brief
    for parent in brief["parents"].values():
        yield from _lineage(parent)


def _time(brief: Brief, began: datetime) -> tuple[float, float] | None:
    """Return start and end, ``None`` of what was there before the run, and of cards that do not tell."""
    if not brief.get("started"):
        return None
    start = (datetime.fromisoformat(brief["started"]) - began) / timedelta(seconds=1)
    return (start, start + brief["seconds"]) if start >= 0 else None


def _merged(intervals: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _idle(start: float, end: float, busy: Iterable[tuple[float, float]]) -> float:
    """Return how much of an interval nothing worked in."""
    return max(0.0, end - start) - sum(max(0.0, min(end, last) - max(start, first)) for first, last in busy)
