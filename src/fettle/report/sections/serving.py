"""What was promoted, and that the served model gives the offline answers."""

import json
from typing import Any

from fettle.report.sources import Sources


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell of the promotion and its confirmation, whichever there is."""
    found = {}
    for kind in ("promotion", "confirmation"):
        artifact = sources.one(kind)
        if artifact:
            found[kind] = json.loads((artifact.path / f"{kind}.json").read_text())
    return found or None
