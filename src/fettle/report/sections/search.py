"""The search for a faster network: its front, its trials, what it expected and what it cost."""

import json
from collections.abc import Mapping
from typing import Any

from fettle.report import search_plots
from fettle.report.sources import Sources
from fettle.search.results import SEARCH
from fettle.search.trials import WHOLE
from fettle.search.variants import FOUND


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell every search of the run."""
    found = [
        _search(artifact.card.name, json.loads((artifact.path / SEARCH).read_text(encoding="utf-8")))
        for artifact in sources.of("search")
    ]
    return {"searches": found} if found else None


def _search(name: str, told: dict[str, Any]) -> dict[str, Any]:
    form, measured = told["form"], [trial for trial in told["trials"] if trial["measured_ms"]]
    trials = [{"latencies": {form: trial["measured_ms"]}, **trial} for trial in measured]  # older ones know one form
    expected = [(each["predicted_ms"], each["latencies"][form]) for each in trials if form in each["latencies"]]
    return {
        **told,
        "fixed": told.get("fixed", ()),  # older searches tell nothing of it, nor of levers
        "name": name,
        "trials": trials,
        "front_plot": search_plots.front(told),
        "prediction_plot": search_plots.predictions(expected) if expected else None,
        "ladder": _ladder(told),
        "ablation": _ablation(told["ablation"]) if told.get("ablation") else None,
    }


def _ladder(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the whole network costs in its forms, and the best that was found: what each step brought."""
    whole = sorted(told["whole"], key=lambda each: -each["ms"])
    best = next((each for each in told["front"] if each["owner"] != WHOLE and each["good"]), None)
    slowest = whole[0]["ms"]
    rows = [{**each, "times": slowest / each["ms"], "what": "the whole network"} for each in whole]
    if best is not None:
        rows.append({**best, "times": slowest / best["ms"], "what": f"trial {best['owner']}"})
    return rows


def _ablation(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows with how far each score is from that of the trial as it was found, in points."""
    found = next(row["score"] for row in told["rows"] if row["lever"] == FOUND)
    rows = [
        {
            **row,
            "without": "" if row["lever"] == FOUND else row["lever"],
            "points": None if None in (found, row["score"]) or row["lever"] == FOUND else 100 * (row["score"] - found),
        }
        for row in told["rows"]
    ]
    return {**told, "rows": rows}
