"""search: the fastest forms of a trained model that keep its accuracy, found by measuring."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output


def search(
    model: Input[Model],
    dataset: Input[Dataset],
    out: Output[Artifact],
    config: str,
    train: str,
    runtimes: list,
    recipe: str,
    machine: str = "",
):
    """Search; ``machine`` is for the cache alone: another one does it again."""
    from fettle.steps import run

    out.path, out.metadata, _ = run(
        "search",
        out.path,
        model=model.path,
        dataset=dataset.path,
        config=config,
        train=train,
        runtimes=runtimes,
        recipe=recipe,
    )
