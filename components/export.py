"""export: a trained network to ONNX, pre- and post-processing inside."""

from kfp.dsl import Dataset, Input, Model, Output


def export(
    model: Input[Model],
    dataset: Input[Dataset],
    out: Output[Model],
    recipe: str,
    detections: str,
    tta: str = "",
    plain: Input[Model] = None,
):
    """Write the graph that is served."""
    from fettle.steps import run

    out.path, out.metadata, _ = run(
        "export",
        out.path,
        model=model.path,
        dataset=dataset.path,
        recipe=recipe,
        detections=detections,
        tta=tta or None,
        plain=plain.path if plain else None,
    )
