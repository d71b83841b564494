"""finetune: train a pruned network, learning from its parent too."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output


def finetune(
    model: Input[Model],
    dataset: Input[Dataset],
    out: Output[Model],
    metrics: Output[Metrics],
    config: str,
    train: str,
    parent: Input[Model] = None,
):
    """Fit the pruned network; with ``config.distil`` the parent's logits count as well."""
    from pathlib import Path

    from components.trainjob import run

    inputs = {"model": model, "dataset": dataset, "parent": parent}
    out.path, out.metadata, found = run("finetune", out.path, inputs, config=config, train=train)
    for name, value in found["best"].items():
        metrics.log_metric(name, value)
    Path(metrics.path).touch()  # the local cache wants a file behind every output
