"""quantize: an exported model in lower precision, for one runtime."""

from kfp.dsl import Dataset, Input, Model, Output


def quantize(
    export: Input[Model],
    dataset: Input[Dataset],
    out: Output[Model],
    config: str,
    recipe: str,
    runtime: str,
    machine: str = "",
):
    """Quantize, calibrated on the calib split; ``machine`` is for the cache alone: another one does it again."""
    from fettle.steps import run

    out.path, out.metadata, _ = run(
        "quantize",
        out.path,
        export=export.path,
        dataset=dataset.path,
        config=config,
        recipe=recipe,
        runtime=runtime,
    )
