"""prune: structured channel pruning."""

from kfp.dsl import Dataset, Input, Model, Output


def prune(model: Input[Model], dataset: Input[Dataset], out: Output[Model], config: str, machine: str = ""):
    """Remove channels; fine-tuning is a task of its own, ``machine`` is for the cache alone."""
    from fettle.steps import run

    out.path, out.metadata, _ = run("prune", out.path, model=model.path, dataset=dataset.path, config=config)
