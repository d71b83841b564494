"""The sections of the page, in order: each tells of some artifacts, or is absent where they are missing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fettle.report.sections import (
    candidates,
    data,
    lineage,
    quality,
    result,
    search,
    serving,
    time,
    training,
    tuning,
    vote,
)
from fettle.report.sources import Sources

Context = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: Anchor, and name of the template ``<name>.html.j2``.
        title: Its heading.
        build: Gives what the template needs, or ``None`` where there is nothing to tell.
    """

    name: str
    title: str
    build: Callable[[Sources], Context | None]


SECTIONS = (
    Section("result", "Result", result.build),
    Section("candidates", "Candidates", candidates.build),
    Section("gates", "Gates", candidates.build_gates),
    Section("vote", "Vote", vote.build),
    Section("quality", "Quality", quality.build),
    Section("mistakes", "Worst mistakes", quality.build_mistakes),
    Section("search", "Search", search.build),
    Section("training", "Training", training.build),
    Section("tuning", "Tuning", tuning.build),
    Section("data", "Data", data.build),
    Section("serving", "Serving", serving.build),
    Section("time", "Time", time.build),
    Section("lineage", "Lineage", lineage.build),
    Section("machine", "Versions and hardware", lineage.build_machine),
)
