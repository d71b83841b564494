"""The hyperparameter search."""

import json
from collections.abc import Mapping
from typing import Any

from fettle.report import plots
from fettle.report.sources import Sources


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell the trials, the best of them and what mattered."""
    artifact = sources.one("study")
    if artifact is None:
        return None
    study = json.loads((artifact.path / "study.json").read_text(encoding="utf-8"))
    default, best = study["default"]["value"], study["best"]["value"]
    return {
        **study,
        "states": _count(study["trials"]),
        "gain": abs(best - default) if default is not None else None,
        "history": plots.trials(
            {trial["number"]: trial["value"] for trial in study["trials"] if trial["state"] == "complete"},
            metric=study["metric"],
            minimize=study["direction"] == "minimize",
        ),
        "importance": plots.importances(study["importances"]) if study["importances"] else None,
    }


def _count(trials: list[Mapping[str, Any]]) -> dict[str, int]:
    states = [trial["state"] for trial in trials]
    return {state: states.count(state) for state in dict.fromkeys(states)}
