"""tensorrt: an engine for the GPU that builds it."""

from kfp.dsl import Dataset, Input, Model, Output


def tensorrt(export: Input[Model], dataset: Input[Dataset], out: Output[Model], config: str, recipe: str, runtime: str):
    """Build the engine; needs a GPU of the kind that will serve."""
    from fettle.steps import run

    out.path, out.metadata, _ = run(
        "tensorrt", out.path, export=export.path, dataset=dataset.path, config=config, recipe=recipe
    )
