"""pick: one of the exports that a search ended with."""

from kfp.dsl import Artifact, Input, Model, Output


def pick(search: Input[Artifact], out: Output[Model], number: int, recipe: str):
    """Take it out of the search."""
    from fettle.steps import run

    out.path, out.metadata, _ = run("pick", out.path, search=search.path, number=number, recipe=recipe)
