"""Commands that make models: ``ingest``, ``tune``, ``train``, ``optimize``; each on an earlier one's artifact."""

from pathlib import Path
from typing import Annotated

import typer

from fettle.cli.options import Folder, Out, Overrides, SpecFile, narrate, read_spec


def ingest(out: Out = Path("dataset"), overrides: Overrides = None, spec: SpecFile = None) -> None:
    """Check, split and cache labelled images (spec: dataset, model.image_size)."""
    from fettle.steps.ingest import ingest as step

    narrate()
    given = read_spec(spec, overrides)
    step(given.dataset.path, out, dataset=given.dataset, image_size=given.model.image_size, task=given.task)
    typer.echo(out)


def tune(dataset: Folder, out: Out = Path("study"), overrides: Overrides = None, spec: SpecFile = None) -> None:
    """Search hyperparameters; trial 0 is the spec as it stands (spec: tune)."""
    from fettle.steps.tune import tune as step

    narrate()
    given = read_spec(spec, overrides)
    step(dataset, out, model=given.model, train=given.train, tune=given.tune)
    typer.echo(out)


def train(
    dataset: Folder,
    out: Out = Path("model"),
    study: Annotated[Path | None, typer.Option(help="A study artifact: its best values override the spec.")] = None,
    overrides: Overrides = None,
    spec: SpecFile = None,
) -> None:
    """Fit the network (spec: model, train). After a kill the same command goes on at the last epoch."""
    from fettle.steps.train import train as step

    narrate()
    given = read_spec(spec, overrides)
    step(dataset, out, model=given.model, train=given.train, study=study)
    typer.echo(out)


def optimize(
    model: Annotated[Path, typer.Argument(help="A model artifact.")],
    dataset: Folder,
    recipe: Annotated[
        str | None, typer.Option(help="One recipe of the spec; by default all, and the baseline.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Search for this long (30m, 2h) instead of following recipes."),
    ] = None,
    out: Out = Path("optimized"),
    overrides: Overrides = None,
    spec: SpecFile = None,
) -> None:
    """Prune, fine-tune, export and quantize a trained model (spec: recipes, runtimes).

    With --budget the recipe is found by measuring. The same command goes on where it was stopped, or with more time.
    Prints the export artifact of each candidate and its runtime.
    """
    from fettle.cli.recipes import AUTO, follow, with_search
    from fettle.errors import SpecError

    narrate()
    given = read_spec(spec, overrides)
    if budget is not None:
        given, recipe = with_search(given, budget), AUTO
    names = [recipe] if recipe else ["baseline", *given.recipes]
    for name in names:
        if name != "baseline" and name not in given.recipes:
            raise SpecError(f"`--recipe` {name!r} is not in the spec; it has: {', '.join(given.recipes) or 'none'}.")
        for export, runtime in follow(given, name, model, dataset, out):
            typer.echo(f"{name}-{runtime}\t{export}")
