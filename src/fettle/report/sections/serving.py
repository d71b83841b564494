"""What was promoted, and that the served model gives the offline answers."""

import json
from typing import Any

from fettle.report.sources import Sources


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell of the promotion and its confirmation, whichever there is."""
    found = {kind: _read(sources, kind) for kind in ("promotion", "confirmation")}
    return found if any(found.values()) else None


def _read(sources: Sources, kind: str) -> dict[str, Any] | None:
    artifact = sources.one(kind)
    if artifact is None:
        return None
    raw: dict[str, Any] = json.loads((artifact.path / f"{kind}.json").read_text(encoding="utf-8"))
    return raw
