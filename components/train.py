"""train: the network of the spec, fitted."""

from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output


def train(
    dataset: Input[Dataset],
    out: Output[Model],
    metrics: Output[Metrics],
    model: str,
    train: str,
    study: Input[Artifact] = None,
    teacher: Input[Artifact] = None,
    distil: str = "",
):
    """Fit the network on the train split, with the best values of a study if there is one."""
    from pathlib import Path

    from fettle.steps import run

    out.path, out.metadata, found = run(
        "train",
        out.path,
        dataset=dataset.path,
        study=study.path if study else None,
        teacher=teacher.path if teacher else None,
        distil=distil or None,
        model=model,
        train=train,
    )
    for name, value in found["best"].items():
        metrics.log_metric(name, value)
    Path(metrics.path).touch()  # the local cache wants a file behind every output
