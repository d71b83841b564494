"""What a run ends with: the table of candidates, the winner and why, the report, an answer of Triton."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from fettle.card import read_card
from fettle.cli.options import RUN_SPEC
from fettle.evaluate import results
from fettle.evaluate.results import Selection
from fettle.report.table import candidates_table, to_text
from fettle.spec import Spec
from fettle.steps import object_path


def show_selection(path: Path, *, as_json: bool) -> None:
    """Print the table and the choice, or the artifact's JSON."""
    if as_json:
        typer.echo((path / results.SELECTION).read_text(), nl=False)
        return
    selection = results.load(path / results.SELECTION, Selection)
    _print_table(selection)
    typer.echo(f"\n{selection.sentence}")
    for pick in selection.picks:
        why = "" if pick.candidate == selection.winner else f": {pick.reason}"
        typer.echo(f"  {pick.profile:<11} {pick.candidate or 'none'}{why}")


def show_run(report: Path, runs: Path, spec: Spec, *, as_json: bool) -> bool:
    """Print how a run ended, make its artifacts findable by name, and tell whether there is a winner.

    Args:
        report: The run's report artifact; its card leads to all others.
        runs: Folder with ``objects/``.
        spec: The resolved spec, stored beside the links.
        as_json: Print JSON instead of text.
    """
    found = _ancestors(report, runs.absolute() / "objects")
    folder = _link({**found, "report": report}, runs / spec.name, spec)
    selection = results.load(found["selection"] / results.SELECTION, Selection)
    confirmation = _confirmation(found.get(f"confirmation-{spec.serve.model_name or spec.name}"))
    if as_json:
        typer.echo(json.dumps({
            "run": str(folder), "report": str(folder / "report" / "index.html"), "winner": selection.winner,
            "sentence": selection.sentence, "artifacts": {name: str(folder / name) for name in sorted(found)},
            "answer": confirmation,
        }, indent=1))  # fmt: skip
        return selection.winner is not None
    show_selection(found["selection"], as_json=False)
    typer.echo(f"\nArtifacts  {folder}\nReport     {folder / 'report' / 'index.html'}")
    if confirmation:
        typer.echo(f"Triton     {confirmation['words']}")
    return selection.winner is not None


def _print_table(selection: Selection) -> None:
    console = Console()
    if console.is_terminal:
        console.print(candidates_table(selection))
    else:
        typer.echo(to_text(selection), nl=False)


def _ancestors(report: Path, objects: Path) -> dict[str, Path]:
    """Return the artifacts behind a report by a name each: the shortest of those that the lineage gives it."""
    names: dict[Path, str] = {}
    for name, path in _lineage(read_card(report).parents, "", objects):
        names[path] = min(name, names.get(path, name), key=len)
    return {name: path for path, name in names.items()}


def _lineage(parents: Mapping[str, Mapping[str, Any]], child: str, objects: Path) -> Iterator[tuple[str, Path]]:
    """Give every ancestor's name and place.

    All models of a run are of one family, so that a model is called after the recipe that it was exported for: those
    that the report itself names are found behind an export, and behind the plain one, where there is one beside it.
    """
    is_beside = any(parent["kind"] == "export" for parent in parents.values())
    for role, parent in parents.items():
        kind, name = parent["kind"], parent["name"]
        if kind == "model" and (not child or is_beside):
            continue
        recipe = child.partition("-")[2] if kind == "model" else ""
        label = kind if name == kind else f"{kind}-{recipe or name}"
        label = f"{child}-{role}" if kind == "model" and child.startswith((kind, "search")) else label
        yield from _lineage(parent["parents"], label, objects)
        path = object_path(objects, kind, parent["digest"])
        if path.is_dir():
            yield label, path


def _link(found: Mapping[str, Path], home: Path, spec: Spec) -> Path:
    """Make ``<home>/<time>/`` with a link to each artifact and the resolved spec; ``latest`` points there."""
    folder = home / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in found.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path("../..") / "objects" / path.name)
    (folder / RUN_SPEC).write_text(json.dumps(spec.to_json(), indent=1) + "\n")
    fresh = home / ".latest"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    fresh.replace(home / "latest")
    return home / "latest"


def _confirmation(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    loaded: dict[str, Any] = json.loads((path / "confirmation.json").read_text())
    return loaded
