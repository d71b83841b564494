"""The winner in a sentence, and what changed against the baseline."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fettle.evaluate import words
from fettle.evaluate.measures import MEASURES, Measure
from fettle.evaluate.results import Candidate
from fettle.report.sources import Sources


@dataclass(frozen=True)
class Quantity:
    """A line of the before/after table; ``of`` reads it from a candidate, ``change`` compares after with before."""

    name: str
    of: Callable[[Candidate], float | None]
    show: Callable[[float], str]
    change: Callable[[float, float], str]
    tile: bool = False


def _ratio(say: Callable[[float], str]) -> Callable[[float, float], str]:
    return lambda before, after: say(after / before) if before and before != after else "the same"


COSTS = (
    Quantity("Latency p50", lambda row: row.p50_ms, words.milliseconds, _ratio(words.speed), tile=True),
    Quantity("Latency p95", lambda row: row.p95_ms, words.milliseconds, _ratio(words.speed)),
    Quantity("Best images/s", lambda row: row.best_throughput, "{:.0f}".format, _ratio("{:.1f}x".format), tile=True),
    Quantity("Size on disk", lambda row: row.size_mb, words.megabytes, _ratio(words.size_change), tile=True),
    Quantity("Peak memory", lambda row: row.memory_mb, words.megabytes, _ratio(words.size_change)),
    Quantity("Load time", lambda row: row.load_ms, words.milliseconds, _ratio(words.speed)),
)


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell the winner, or that there is none."""
    selection, baseline, winner = sources.selection, sources.baseline, sources.winner
    if selection is None or baseline is None:
        return None
    rows = _compare(baseline, winner, selection.task) if winner else []
    return {
        "sentence": selection.sentence,
        "winner": winner.name if winner else None,
        "baseline": baseline.name,
        "rows": rows,
    }


def _scores(task: str) -> list[Quantity]:
    headline, *others = (_score(measure) for measure in MEASURES[task])
    return [replace(headline, tile=True), *others]


def _score(measure: Measure) -> Quantity:
    return Quantity(measure.title, lambda row: row.scores[measure.name], measure.show, measure.change)


def _compare(baseline: Candidate, winner: Candidate, task: str) -> list[dict[str, Any]]:
    rows = []
    for each in (*_scores(task), *COSTS):
        before, after = each.of(baseline), each.of(winner)
        if before is not None and after is not None:
            texts = {"before": each.show(before), "after": each.show(after), "change": each.change(before, after)}
            rows.append({"name": each.name, "tile": each.tile, **texts})
    return rows
