"""Arguments that several commands share, and how the spec reaches a command."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fettle.spec import Spec

DEFAULT_SPEC = Path("fettle.yaml")
RUN_SPEC = "spec.json"  # in the folder of a run

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Spec keys, such as train.epochs=3.")
]
SpecFile = Annotated[
    Path | None,
    typer.Option("--spec", "-s", metavar="FILE", help="Spec; by default fettle.yaml here, if there is one."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the artifact is written.")]
Folder = Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset artifact.")]


def read_spec(file: Path | None, overrides: list[str] | None) -> "Spec":
    """Return the spec: file, ``.env``, environment and overrides."""
    from fettle.spec import load_spec

    if file is None and DEFAULT_SPEC.is_file():
        file = DEFAULT_SPEC
    return load_spec(file, overrides=overrides or (), env=os.environ, dotenv=Path(".env"))


def narrate() -> None:
    """Send what the library tells to stderr."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("fettle").setLevel(logging.INFO)
