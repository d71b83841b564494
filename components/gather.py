"""gather: the trials that several workers ran, as one study."""

from kfp.dsl import Artifact, Dataset, Input, Output

from components.base import Many


def gather(dataset: Input[Dataset], trials: Many, out: Output[Artifact], model: str, train: str, tune: str):
    """Put together what the workers of a search found."""
    from fettle.steps import run

    out.path, out.metadata, _ = run(
        "gather",
        out.path,
        dataset=dataset.path,
        trials={name: each.path for name, each in trials.items()},
        model=model,
        train=train,
        tune=tune,
    )
