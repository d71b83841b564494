"""Readers: which files of a source are images, with which labels or boxes, and in which split if the source says."""

from collections.abc import Callable, Mapping
from pathlib import Path

from fettle.data.decode import SUFFIXES
from fettle.data.listing import Listing
from fettle.data.readers.castings import read_castings
from fettle.data.readers.coco import read_coco
from fettle.data.readers.labels import read_csv, read_imagefolder, read_pattern
from fettle.data.readers.voc import read_voc
from fettle.data.readers.yolo import read_yolo
from fettle.errors import DataError
from fettle.spec import DatasetConfig

Reader = Callable[[Path, DatasetConfig], Listing]

# By task, then by ``dataset.layout``. For a classifier, castings are an ImageFolder once they are made.
LABELS: Mapping[str, Reader] = {"imagefolder": read_imagefolder, "pattern": read_pattern, "csv": read_csv}
READERS: Mapping[str, Mapping[str, Reader]] = {
    "classify": {**LABELS, "castings": read_imagefolder},
    "embed": LABELS,
    "detect": {
        "yolo": read_yolo,
        "coco": read_coco,
        "voc": read_voc,
        "castings": read_castings,
    },
}


def read(source: Path, config: DatasetConfig, *, task: str) -> Listing:
    """Return the images of ``source`` and what it says of them, in order of their names.

    Raises:
        DataError: If the source is missing, holds no labelled image, or cannot be read.
    """
    readers = READERS.get(task)
    if readers is None:
        raise DataError(f"There is no reader for task {task!r}; there are some for {', '.join(READERS)}.")
    if config.layout not in readers:
        raise DataError(
            f"dataset.layout {config.layout!r} has no {'boxes' if task == 'detect' else 'labels of images'}: for task "
            f"{task!r} it is one of {', '.join(readers)}."
        )
    if not source.exists():
        raise DataError(f"{source} does not exist: set dataset.path to the folder (or file) of images.")
    listing = readers[config.layout](source, config)
    if not listing.items and not listing.broken:
        raise DataError(
            f"{source} has no labelled image in layout {config.layout!r}: see `fettle init {source}` for its layout. "
            f"Images are files that end in {', '.join(sorted(SUFFIXES))}."
        )
    return listing
