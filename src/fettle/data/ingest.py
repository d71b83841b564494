"""Ingest: from a source of labelled images to the files of a ``dataset`` artifact."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from fettle.data.dataset import IMAGES, INDEX, RECORDS, Record, balanced_weights
from fettle.data.decode import decode
from fettle.data.readers import READERS
from fettle.data.resize import resize
from fettle.data.splits import Unit, assign, shares_of
from fettle.spec import SPLITS, DatasetConfig


def ingest(source: Path, folder: Path, config: DatasetConfig, *, task: str, image_size: int) -> dict[str, Any]:
    items = READERS[task][config.layout](source, config)
    classes = sorted({item.label for item in items})
    photos = [decode(source / item.path).pixels for item in items]
    digests = [hashlib.sha256(photo.tobytes()).hexdigest() for photo in photos]
    units = [Unit((digest,), classes.index(item.label)) for digest, item in zip(digests, items, strict=True)]
    splits = assign(units, shares_of(config.split, set()), seed=config.split.seed)
    order = sorted(range(len(items)), key=lambda i: (SPLITS.index(splits[i]), digests[i]))
    images = np.stack([resize(photos[i], image_size, config.resize) for i in order])
    np.save(folder / IMAGES, images)
    records = [
        Record(items[i].path, units[i].label, splits[i], digests[i], photos[i].shape[1], photos[i].shape[0])
        for i in order
    ]
    (folder / RECORDS).write_text("".join(json.dumps(vars(record)) + "\n" for record in records))
    counts = {
        split: {name: sum(r.split == split and r.label == k for r in records) for k, name in enumerate(classes)}
        for split in SPLITS
    }
    labels = np.array([r.label for r in records if r.split == "train"])
    weights = dict(zip(classes, balanced_weights(labels, len(classes)).tolist(), strict=True))
    index = {
        "task": task,
        "classes": classes,
        "image_size": image_size,
        "counts": counts,
        "weights": weights,
        "statistics": {},
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1))
    return {"counts": counts}
