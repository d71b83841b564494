"""Commands before the first run: ``init``, ``castings``, ``convert``, ``spec``, ``doctor``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fettle.cli.options import AsJson


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of labelled images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Spec to write.")] = Path("fettle.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a spec that is there.")] = False,
) -> None:
    """Look at a folder of images and write a spec for it."""
    from fettle.cli.starter import describe, starter
    from fettle.data.inspection import inspect_folder
    from fettle.errors import SpecError

    if out.exists() and not force:
        raise SpecError(f"`--out` {out} exists; give --force to replace it, or another name.")
    facts = inspect_folder(folder)
    out.write_text(starter(facts), encoding="utf-8")
    typer.echo(describe(facts), err=True)
    typer.echo(out)


def castings(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    count: Annotated[int, typer.Option(min=20, help="Images.")] = 1500,
    size: Annotated[int, typer.Option(min=32, help="Height and width in pixels.")] = 128,
    seed: Annotated[int, typer.Option(help="Another seed, other castings.")] = 0,
) -> None:
    """Make the example data: castings under oblique light, sound and defective."""
    from fettle.data.castings import make_castings

    make_castings(folder, count=count, size=size, seed=seed)
    typer.echo(folder)


def convert(
    source: Annotated[Path, typer.Argument(help="Folder of annotated images, data.yaml or JSON file.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    read_as: Annotated[str, typer.Option("--from", metavar="LAYOUT", help="yolo, coco, voc or castings.")],
    write_as: Annotated[str, typer.Option("--to", metavar="LAYOUT", help="yolo, coco or voc.")],
    link: Annotated[bool, typer.Option("--link", help="Link to the images, do not copy them.")] = False,
) -> None:
    """Write annotated images in another layout; their boxes are checked on the way."""
    from fettle.cli.options import narrate
    from fettle.data.convert import convert as convert_images

    narrate()
    done = convert_images(source, out, read_as=read_as, write_as=write_as, link=link)
    typer.echo(f"{done.images} images, {done.boxes} boxes; {done.invalid} invalid boxes left out", err=True)
    typer.echo(out)


def spec(
    section: Annotated[str, typer.Argument(help="Show only keys below this one, such as train.")] = "",
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema for editors.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/spec.md.")] = False,
) -> None:
    """Show the keys of a spec, what they mean and their defaults."""
    from fettle.errors import SpecError
    from fettle.spec import reference

    if schema:
        typer.echo(json.dumps(reference.schema(), indent=1))
        return
    if markdown:
        typer.echo(reference.markdown(), nl=False)
        return
    found = reference.documented(section)
    if not found:
        raise SpecError(f"`section` {section!r} is no key of the spec; `fettle spec` shows all.")
    for key in found:
        typer.echo(f"{key.name}  ({key.type}{'' if key.default is None else f', default {key.default}'})")
        typer.echo(f"    {key.text}")


def doctor(as_json: AsJson = False) -> None:
    """Tell what this machine is, what works on it and what is missing, with the remedy."""
    from fettle.cli.checks import checkup

    findings = checkup()
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.ok else 'MISS'}  {finding.what}: {finding.detail}")
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(1)
