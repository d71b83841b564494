"""The page: sections, templates and style in one file."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from fettle import __version__
from fettle.report.sections import SECTIONS
from fettle.report.sources import open_sources


def render(artifacts: Sequence[Path], *, title: str, skipped: Mapping[str, str], began: datetime | None = None) -> str:
    """Return one self-contained HTML page about artifacts of any kind.

    Args:
        artifacts: Artifact directories; what is not among them is left out of the page.
        title: Title of the page.
        skipped: Recipes that were left out of the run, and why.
        began: When the run began.

    Raises:
        SpecError: If there is no artifact.
        ArtifactError: If one is missing, corrupt or altered.
    """
    sources = open_sources(artifacts, skipped, began)
    told = [(section, context) for section in SECTIONS if (context := section.build(sources)) is not None]
    environment = Environment(
        loader=PackageLoader("fettle.report"),
        autoescape=select_autoescape(["html.j2"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(title=title, sections=told, version=__version__)
