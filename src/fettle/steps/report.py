"""Step ``report``: one HTML page about a run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from fettle import card
from fettle.card import Artifact, read_card
from fettle.report.page import render

PAGE = "index.html"


def report(
    artifacts: Sequence[Path],
    out: Path,
    *,
    title: str = "fettle",
    skipped: Mapping[str, str] = MappingProxyType({}),
    began: datetime | None = None,
) -> Artifact:
    """Write a page about artifacts of any kind; it needs no other file and no network.

    Args:
        artifacts: What to tell of; what is missing is left out of the page.
        out: Where the ``report`` artifact is written.
        title: Title of the page.
        skipped: Recipes that were left out of the run, and why.
        began: When the run began; without it the page does not tell where the time went.

    Raises:
        SpecError: If there is no artifact.
        ArtifactError: If one is missing, corrupt or altered.
    """
    page = render(artifacts, title=title, skipped=skipped, began=began)
    parents = {f"{number} {(each := read_card(path)).kind}": each for number, path in enumerate(artifacts, 1)}
    with card.create(out, kind="report", name=title, config={"title": title}, parents=parents) as draft:
        (draft.path / PAGE).write_text(page, encoding="utf-8")
    return Artifact.open(out, kind="report", verify=False)
