"""tune: a search whose trial 0 is the spec as it stands, or a worker's share of it."""

from kfp.dsl import Artifact, Dataset, Input, Output


def tune(dataset: Input[Dataset], out: Output[Artifact], model: str, train: str, tune: str, worker: str = ""):
    """Search hyperparameters with Optuna."""
    from fettle.steps import run

    out.path, out.metadata, _ = run(
        "tune", out.path, dataset=dataset.path, model=model, train=train, tune=tune, worker=worker
    )
