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

    from components.trainjob import run

    out.path, out.metadata, found = run(
        "train",
        out.path,
        {"dataset": dataset, "study": study, "teacher": teacher},
        distil=distil or None,
        model=model,
        train=train,
    )
    for name, value in found["best"].items():
        metrics.log_metric(name, value)
    Path(metrics.path).touch()  # the local cache wants a file behind every output
