"""The hyperparameter search."""

import json
from typing import Any

from fettle.report import plots
from fettle.report.sources import Sources


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell the trials, the best of them and what mattered."""
    artifact = sources.one("study")
    if artifact is None:
        return None
    study = json.loads((artifact.path / "study.json").read_text())
    return {"study": study}
