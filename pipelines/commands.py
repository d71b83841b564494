"""``fettle run``, ``ensemble``, ``compile``: plugged into the command line of the library, which knows no Kubeflow."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fettle.cli.options import AsJson, Overrides, SpecFile, read_spec

if TYPE_CHECKING:
    from fettle.spec import Spec

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show everything that the steps print.")]


def run(overrides: Overrides = None, spec: SpecFile = None, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Run the pipeline of a spec here: images in, a confirmed model on Triton out.

    Work that is done already is taken from the cache; after a failure the same command goes on at the failed step.
    """
    _run(read_spec(spec, overrides), as_json=as_json, verbose=verbose)


def ensemble(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="Spec with members.")],
    overrides: Overrides = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Run the pipeline of a spec with members: classifiers that vote, and a single network that learns from them.

    It is `fettle run` for a spec that must have members.
    """
    from fettle.errors import SpecError

    given = read_spec(spec, overrides)
    if not given.members:
        raise SpecError(f"{spec} has no `members`: name the classifiers that vote, or use `fettle run`.")
    _run(given, as_json=as_json, verbose=verbose)


def _run(given: "Spec", *, as_json: bool, verbose: bool) -> None:
    from fettle.cli.summary import show_run
    from fettle.data.remote import fingerprint
    from fettle.errors import GateError
    from fettle.hardware import passport
    from pipelines.local import run_local
    from pipelines.plan import plan

    content = fingerprint(given.dataset.path, given.dataset)
    graph = plan(given, content=content, machine=passport())
    for name, reason in graph.skipped.items():
        typer.echo(f"Recipe {name} is left out: {reason}", err=True)
    runs = Path(given.runs)
    report = run_local(graph, name=given.name, runs=runs, pretrained=given.pretrained, verbose=verbose)
    if not show_run(report, runs, given, as_json=as_json):
        raise GateError("No candidate passed the gates, so nothing was promoted; the report says which gate and why.")


def compile(
    out: Annotated[Path, typer.Option("--out", "-o", help="YAML to write.")] = Path("pipeline.yaml"),
    overrides: Overrides = None,
    spec: SpecFile = None,
    tree: Annotated[bool, typer.Option("--tree", help="Print the tasks and their inputs instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compile the pipeline of a spec to the YAML that Kubeflow Pipelines takes."""
    from pipelines.plan import plan

    given = read_spec(spec, overrides)
    graph = plan(given)
    if tree or as_json:
        tasks = {task.name: task.sources for task in graph.tasks}
        lines = (f"{name} <- {', '.join(sources) or given.dataset.path}" for name, sources in tasks.items())
        typer.echo(json.dumps(tasks, indent=1) if as_json else "\n".join(lines))
        return
    from pipelines.graph import build, write

    write(build(graph, name=given.name), out)
    typer.echo(out)
