"""Step ``ingest``: labelled images in, a ``dataset`` artifact out."""

from contextlib import nullcontext
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.data.castings import make_castings
from fettle.data.ingest import Progress
from fettle.data.ingest import ingest as ingest_images
from fettle.data.remote import fetched
from fettle.spec import DatasetConfig
from fettle.storage import is_remote


def ingest(
    source: Path | str,
    out: Path,
    *,
    dataset: DatasetConfig,
    image_size: int,
    task: str = "classify",
    on_image: Progress | None = None,
) -> Artifact:
    """Check, decode, resize and split the images at ``source``.

    Args:
        source: Folder of images, or CSV file, here or at ``s3://``; it is never changed. Castings are made there if it
            does not exist.
        out: Where the artifact is written.
        dataset: How labels are read, images resized and splits made.
        image_size: Height and width of the stored images in pixels.
        task: What the labels are for.
        on_image: Called with the number of images decoded and their total.

    Raises:
        DataError: If the images or their labels cannot be used; nothing is written then.
        StorageError: If the store fails that ``source`` is in.
    """
    # Where the source lies is no part of what the artifact is: a copy elsewhere gives the same digest.
    settings = dataset.model_dump(mode="json", exclude={"path"})
    config = {"dataset": settings, "image_size": image_size, "task": task}
    given, out = str(source), Path(out)
    with fetched(given) if is_remote(given) else nullcontext(Path(given)) as folder:
        if dataset.layout == "castings":
            make_castings(folder, count=dataset.count)
        with card.create(out, kind="dataset", name=folder.stem, config=config) as draft:
            found = ingest_images(folder, draft.path, dataset, task=task, image_size=image_size, on_image=on_image)
            draft.summary.update(source=given, **found)
    return Artifact.open(out, kind="dataset")
