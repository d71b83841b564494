"""The ``dataset`` artifact: every image decoded and resized once, in one array that is mapped into memory."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fettle.card import Artifact
from fettle.data.boxes import Boxes
from fettle.errors import ArtifactError

INDEX, IMAGES, RECORDS = "dataset.json", "images.npy", "records.jsonl"


@dataclass(frozen=True)
class Record:
    """One image.

    Attributes:
        path: Where it was below the source, with ``/``.
        label: Index into the classes; -1 where the boxes have the labels.
        split: ``train``, ``calib``, ``val`` or ``test``.
        sha256: Digest of the decoded pixels; metadata and file format do not change it.
        width: Width of the original in pixels, upright.
        height: Height of the original in pixels, upright.
    """

    path: str
    label: int
    split: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Subset:
    """The images of one split.

    Attributes:
        name: Name of the split.
        images: (N, S, S, 3) uint8 RGB, a read-only view of the memory map.
        labels: (N,) int64; -1 where the boxes have the labels.
        paths: Where the images were below the source.
        boxes: Those of the same images; none where the images have the labels.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    paths: tuple[str, ...]
    boxes: Boxes

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """An opened ``dataset`` artifact; row i of ``images`` is described by record i and has the boxes of image i.

    ``counts`` are those of the objects by split and class: images of a class, or boxes.
    """

    artifact: Artifact
    task: str
    classes: tuple[str, ...]
    image_size: int
    images: NDArray[np.uint8]
    records: tuple[Record, ...]
    counts: Mapping[str, Mapping[str, int]]
    statistics: Mapping[str, Any]
    boxes: Boxes

    def subset(self, split: str) -> Subset:
        """Return the rows of ``split``; a split that was not made is empty."""
        rows = self._rows.get(split, slice(0, 0))
        records = self.records[rows]
        labels = np.array([record.label for record in records], dtype=np.int64)
        paths = tuple(record.path for record in records)
        return Subset(split, self.images[rows], labels, paths, self.boxes.take(rows))

    @property
    def class_weights(self) -> NDArray[np.float64]:
        """n / (k * n_c) of the training split: (C,), 1 on average over its images or boxes."""
        return balanced_weights([self.counts["train"][name] for name in self.classes])

    @cached_property
    def _rows(self) -> dict[str, slice]:
        rows, start = {}, 0
        for split, records in itertools.groupby(self.records, key=lambda record: record.split):
            stop = start + len(list(records))
            rows[split] = slice(start, stop)
            start = stop
        return rows


def balanced_weights(counts: Sequence[int]) -> NDArray[np.float64]:
    """Return n / (k * n_c) for each class; a class without an object counts as one with a single one."""
    return np.asarray(sum(counts) / (len(counts) * np.maximum(counts, 1)))


def open_dataset(path: Path) -> Dataset:
    """Open and verify a ``dataset`` artifact. The images stay on disk until they are read.

    Raises:
        ArtifactError: If it is missing, altered, truncated or of another kind.
    """
    artifact = Artifact.open(Path(path), kind="dataset")
    try:
        index = json.loads((artifact.path / INDEX).read_text(encoding="utf-8"))
        lines = (artifact.path / RECORDS).read_text(encoding="utf-8").splitlines()
        images = np.load(artifact.path / IMAGES, mmap_mode="r")
        return Dataset(
            artifact=artifact,
            task=index["task"],
            classes=tuple(index["classes"]),
            image_size=index["image_size"],
            images=images,
            records=tuple(Record(**json.loads(line)) for line in lines),
            counts=index["counts"],
            statistics=index["statistics"],
            boxes=Boxes.load(artifact.path, images=len(images)),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is not a dataset that this Fettle can read ({error}): ingest again.") from error
