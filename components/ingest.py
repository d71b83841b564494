"""ingest: labelled images, checked, split and decoded once."""

from kfp.dsl import Dataset, Output


def ingest(out: Output[Dataset], dataset: str, image_size: int, task: str, source: str):
    """Check, split and cache the images; ``source`` is their digest, so that other data is other work."""
    from fettle.steps import run

    out.path, out.metadata, _ = run("ingest", out.path, dataset=dataset, image_size=image_size, task=task)
