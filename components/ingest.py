"""ingest: labelled images, checked, split and decoded once."""

from kfp.dsl import Dataset, Output


def ingest(out: Output[Dataset], source: str, content: str, dataset: str, image_size: int, task: str):
    """Check, split and cache the images; ``content`` is their digest, so that other data is other work."""
    from fettle.steps import run

    out.path, out.metadata, _ = run(
        "ingest", out.path, source=source, dataset=dataset, image_size=image_size, task=task
    )
