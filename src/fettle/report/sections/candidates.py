"""Every candidate: the table, the Pareto front, the profiles' picks and the gates in words."""

from typing import Any

from fettle.evaluate import words
from fettle.evaluate.measures import MEASURES, Measure
from fettle.evaluate.results import Candidate, Selection
from fettle.report import plots
from fettle.report.sources import Sources
from fettle.report.table import standing, verdict

AGREEMENT = {
    "classify": "share of test images that get the class that the reference of that runtime gives",
    "embed": "share of test pictures that have the same nearest other one as in the reference of that runtime",
    "detect": "share of boxes that the reference of that runtime gives too, of the same class and at IoU .9",
}


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell of all candidates, those that were dropped or left out too."""
    selection = sources.selection
    if selection is None:
        return None
    timings = sources.benchmark.candidates if sources.benchmark else {}
    rows = [_row(row, selection) for row in selection.candidates]
    for row in rows:
        timing = timings.get(row["name"])
        row["arithmetic"] = timing.arithmetic if timing else None
    return {
        "rows": rows,
        "measures": MEASURES[selection.task][:2],
        "agreement": AGREEMENT[selection.task],
        "dropped": {row.name: row.dropped for row in selection.candidates if row.dropped},
        "kept": {row.name: row.gain for row in selection.candidates if row.gain and not row.dropped},
        "skipped": {**sources.skipped, **selection.skipped},
        "picks": [vars(pick) for pick in selection.picks],
        "profile": selection.profile,
        "confidence": next(
            (f"{row.difference.interval.confidence:.0%}" for row in selection.candidates if row.difference), ""
        ),
        "pareto": plots.pareto(selection),
        "throughput": plots.throughput(selection, _fastest(selection)),
        "benchmark": sources.benchmark,
    }


def build_gates(sources: Sources) -> dict[str, Any] | None:
    """Tell what every candidate was asked, and how it did."""
    selection = sources.selection
    if selection is None or not any(row.gates for row in selection.candidates):
        return None
    rows = sorted(selection.candidates, key=lambda row: row.name != selection.winner)
    return {"rows": [{"name": row.name, "gates": row.gates, "passed": row.passed} for row in rows]}


def _row(row: Candidate, selection: Selection) -> dict[str, Any]:
    interval = row.difference.interval if row.difference else None
    return {
        "name": row.name,
        "precision": row.precision,
        "scores": [_shown(row, measure) for measure in MEASURES[selection.task][:2]],
        "difference": words.points(interval.estimate).removesuffix(" points") if interval else "",
        "interval": f"{interval.low * 100:+.2f} to {interval.high * 100:+.2f}" if interval else "",
        "p50": words.milliseconds(row.p50_ms),
        "p95": words.milliseconds(row.p95_ms),
        "throughput": f"{row.best_throughput:.0f}",
        "size": words.megabytes(row.size_mb),
        "memory": words.megabytes(row.memory_mb) if row.memory_mb else "",
        "load": words.milliseconds(row.load_ms) if row.load_ms else "",
        "agreement": words.percent(row.parity.agreement) if row.parity else "",
        "pareto": row.name in selection.pareto,
        "standing": standing(row, selection),
        "verdict": verdict(row, selection),
    }


def _shown(row: Candidate, measure: Measure) -> str:
    value = row.scores[measure.name]
    return "" if value is None else measure.show(value)


def _fastest(selection: Selection, count: int = 4) -> list[str]:
    """Return the baseline, the winner, and the fastest others: more lines than four are not read."""
    first = [selection.baseline, *([selection.winner] if selection.winner else [])]
    ranked = sorted(selection.candidates, key=lambda row: -row.best_throughput)
    return list(dict.fromkeys([*first, *(row.name for row in ranked)]))[:count]
