"""The winner in a sentence, and what changed against the baseline."""

from collections.abc import Callable
from typing import Any

from fettle.evaluate import words
from fettle.evaluate.results import Candidate
from fettle.report.sources import Sources

Quantity = tuple[str, Callable[[Candidate], float | None], Callable[[float], str], Callable[[float, float], str]]


def _ratio(change: Callable[[float], str]) -> Callable[[float, float], str]:
    return lambda before, after: change(after / before) if before and before != after else "the same"


def _difference(before: float, after: float) -> str:
    return words.points(after - before)


QUANTITIES: tuple[Quantity, ...] = (
    ("Accuracy", lambda row: row.accuracy, words.percent, _difference),
    ("Macro F1", lambda row: row.macro_f1, words.percent, _difference),
    ("AUROC", lambda row: row.auroc, "{:.4f}".format, lambda before, after: f"{after - before:+.4f}"),
    ("Calibration error", lambda row: row.ece, "{:.3f}".format, lambda before, after: f"{after - before:+.3f}"),
    ("Latency p50", lambda row: row.p50_ms, words.milliseconds, _ratio(words.speed)),
    ("Latency p95", lambda row: row.p95_ms, words.milliseconds, _ratio(words.speed)),
    ("Best throughput", lambda row: row.best_throughput, words.rate, _ratio(lambda ratio: f"{ratio:.1f}x as many")),
    ("Size on disk", lambda row: row.size_mb, words.megabytes, _ratio(words.size_change)),
    ("Peak memory", lambda row: row.memory_mb, words.megabytes, _ratio(words.size_change)),
    ("Load time", lambda row: row.load_ms, words.milliseconds, _ratio(words.speed)),
)
TILES = ("Accuracy", "Latency p50", "Best throughput", "Size on disk")


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
        "profile": selection.profile,
        "tiles": [row for row in rows if row["name"] in TILES],
        "rows": rows,
    }


def _compare(baseline: Candidate, winner: Candidate) -> list[dict[str, str]]:
    rows = []
    for name, of, show, change in QUANTITIES:
        before, after = of(baseline), of(winner)
        if before is not None and after is not None:
            rows.append({"name": name, "before": show(before), "after": show(after), "change": change(before, after)})
    return rows
