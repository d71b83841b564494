"""validate: an exported model on the test split, in the runtime that will serve it."""

from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output


def validate(
    export: Input[Model],
    dataset: Input[Dataset],
    out: Output[Artifact],
    metrics: Output[Metrics],
    curves: Output[ClassificationMetrics],
    name: str,
    runtime: str,
    detections: str,
    machine: str = "",
    reference: Input[Artifact] = None,
):
    """Measure the task's scores and the parity with the reference; ``machine`` is for the cache alone."""
    from pathlib import Path

    from fettle.evaluate.curves import read_curves
    from fettle.steps import run

    place, baseline = export.uri, reference.path if reference else None
    out.path, out.metadata, found = run(
        "validate",
        out.path,
        export=export.path,
        dataset=dataset.path,
        reference=baseline,
        name=name,
        runtime=runtime,
        detections=detections,
    )
    out.metadata["export"] = place  # whoever approves the candidate fetches it from there
    for key, value in found.items():
        if isinstance(value, float):
            metrics.log_metric(key, value)
    shown = read_curves(Path(out.path))
    if shown.confusion:
        curves.log_confusion_matrix(shown.classes, shown.confusion)
    if shown.roc:
        curves.log_roc_curve(*shown.roc)
    for each in (metrics, curves):
        Path(each.path).touch()  # the local cache wants a file behind every output
