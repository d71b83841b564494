"""The winner in a sentence, and what changed against the baseline."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fettle.evaluate import words
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


def _difference(decimals: int) -> Callable[[float, float], str]:
    return lambda before, after: f"{round(after - before, decimals) + 0.0:+.{decimals}f}"


def _points(before: float, after: float) -> str:
    return words.points(after - before)


def _ratio(say: Callable[[float], str]) -> Callable[[float, float], str]:
    return lambda before, after: say(after / before) if before and before != after else "the same"


QUANTITIES = (
    Quantity("Accuracy", lambda row: row.accuracy, words.percent, _points, tile=True),
    Quantity("Macro F1", lambda row: row.macro_f1, words.percent, _points),
    Quantity("AUROC", lambda row: row.auroc, "{:.4f}".format, _difference(4)),
    Quantity("Calibration error", lambda row: row.ece, "{:.3f}".format, _difference(3)),
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
    rows = _compare(baseline, winner) if winner else []
    return {
        "sentence": selection.sentence,
        "winner": winner.name if winner else None,
        "baseline": baseline.name,
        "rows": rows,
    }


def _compare(baseline: Candidate, winner: Candidate) -> list[dict[str, Any]]:
    rows = []
    for each in QUANTITIES:
        before, after = each.of(baseline), each.of(winner)
        if before is not None and after is not None:
            texts = {"before": each.show(before), "after": each.show(after), "change": each.change(before, after)}
            rows.append({"name": each.name, "tile": each.tile, **texts})
    return rows
