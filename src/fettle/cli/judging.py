"""Commands that judge: ``validate``, ``benchmark``, ``select``, ``report``."""

from pathlib import Path
from typing import Annotated

import typer

from fettle.cli.options import AsJson, Folder, Out, SpecFile, narrate, read_spec

Export = Annotated[Path, typer.Argument(metavar="EXPORT", help="An export artifact.")]


def validate(
    export: Export,
    dataset: Folder,
    runtime: Annotated[str, typer.Option(help="onnxruntime, openvino or tensorrt.")] = "onnxruntime",
    reference: Annotated[Path | None, typer.Option(help="Validation artifact to compare with.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the candidate; by default recipe and runtime.")] = None,
    out: Out = Path("validation"),
    spec: SpecFile = None,
    as_json: AsJson = False,
) -> None:
    """Measure an exported model on the test split, in the runtime that will serve it (spec: detections)."""
    import json

    from fettle.steps.validate import validate as step

    narrate()
    detections = read_spec(spec, None).detections
    artifact = step(export, dataset, out, runtime=runtime, reference=reference, name=name, detections=detections)
    typer.echo(json.dumps(dict(artifact.card.summary), indent=1) if as_json else out)


def benchmark(
    candidates: Annotated[list[str], typer.Argument(metavar="NAME=EXPORT:RUNTIME...", help="Candidates.")],
    dataset: Annotated[Path, typer.Option(help="A dataset artifact.")],
    out: Out = Path("benchmark"),
    spec: SpecFile = None,
) -> None:
    """Measure latency and throughput of candidates, interleaved on this machine (spec: benchmark)."""
    from fettle.steps.benchmark import benchmark as step

    narrate()
    step([_candidate(each) for each in candidates], dataset, out, config=read_spec(spec, None).benchmark)
    typer.echo(out)


def vote(
    members: Annotated[list[str], typer.Argument(metavar="NAME=EXPORT:VALIDATION...", help="Classifiers.")],
    weight: Annotated[
        list[str] | None, typer.Option(metavar="NAME=W", help="Of each; by default all the same.")
    ] = None,
    fit: Annotated[bool, typer.Option(help="Fit the weights on the val split.")] = True,
    out: Out = Path("ensemble"),
    as_json: AsJson = False,
) -> None:
    """Combine exported classifiers into one that votes; each votes in the runtime of its validation."""
    import json

    from fettle.steps.vote import vote as step

    narrate()
    given = [_candidate(each, "NAME=EXPORT:VALIDATION") for each in members]
    exports = {name: path for name, path, _ in given}
    weights = dict(map(_weight, weight)) if weight else {name: 1 / len(exports) for name in exports}
    validations = {name: Path(validation) for name, _, validation in given}
    artifact = step(exports, validations, out, recipe="fitted" if fit else "default", weights=weights)
    typer.echo(json.dumps(dict(artifact.card.summary), indent=1) if as_json else out)


def select(
    validations: Annotated[list[Path], typer.Argument(help="Validation artifacts, the baselines' among them.")],
    benchmark: Annotated[Path, typer.Option(help="A benchmark artifact.")],
    out: Out = Path("selection"),
    spec: SpecFile = None,
    as_json: AsJson = False,
) -> None:
    """Apply the gates and pick a candidate for each profile (spec: gates, serve.profile)."""
    from fettle.cli.summary import show_selection
    from fettle.steps.select import select as step

    narrate()
    given = read_spec(spec, None)
    step(validations, benchmark, out, gates=given.gates, profile=given.serve.profile)
    show_selection(out, as_json=as_json)


def report(
    artifacts: Annotated[list[Path], typer.Argument(help="Artifacts of a run, of any kind.")],
    out: Out = Path("report"),
    title: Annotated[str, typer.Option(help="Title of the page.")] = "fettle",
) -> None:
    """Write one self-contained HTML page about artifacts; what is missing is left out."""
    from fettle.steps.report import report as step

    narrate()
    step(artifacts, out, title=title)
    typer.echo(out / "index.html")


def _weight(text: str) -> tuple[str, float]:
    from fettle.errors import SpecError

    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise SpecError(f"The weight {text!r} is not of the form NAME=0.4.") from None


def _candidate(text: str, form: str = "NAME=EXPORT:RUNTIME") -> tuple[str, Path, str]:
    from fettle.errors import SpecError

    name, equals, rest = text.partition("=")
    path, colon, runtime = rest.rpartition(":")
    if not (name and equals and path and colon):
        raise SpecError(f"{text!r} is not of the form {form}.")
    return name, Path(path), runtime
