"""vote: several classifiers to one export that votes."""

from kfp.dsl import Model, Output

from components.base import Many


def vote(exports: Many, validations: Many, out: Output[Model], recipe: str, weights: str):
    """Combine the members, by the weights that are given or by those that fit the val split."""
    from fettle.steps import run

    out.path, out.metadata, _ = run(
        "vote",
        out.path,
        exports={name: export.path for name, export in exports.items()},
        validations={name: validation.path for name, validation in validations.items()},
        recipe=recipe,
        weights=weights,
    )
