"""Writer of COCO JSON."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fettle.data.writers.annotated import Annotated, by_split


def write_coco(folder: Path, images: Sequence[Annotated], classes: Sequence[str]) -> None:
    """Write ``annotations/instances_<split>.json``; ids count from 1."""
    (folder / "annotations").mkdir(parents=True)
    categories = [{"id": label, "name": name} for label, name in enumerate(classes, 1)]
    for split, of_split in by_split(images):
        about = {
            "images": [
                {"id": number, "file_name": image.name, "width": image.width, "height": image.height}
                for number, image in enumerate(of_split, 1)
            ],
            "annotations": [{"id": key, **entry} for key, entry in zip(itertools.count(1), _annotations(of_split))],
            "categories": categories,
        }
        file = folder / "annotations" / f"instances_{split}.json"
        file.write_text(json.dumps(about) + "\n", encoding="utf-8")


def _annotations(images: Sequence[Annotated]) -> Iterator[dict[str, Any]]:
    for number, image in enumerate(images, 1):
        for label, (left, top, right, bottom) in zip(image.labels.tolist(), image.xyxy.tolist(), strict=True):
            width, height = right - left, bottom - top
            yield {
                "image_id": number,
                "category_id": label + 1,
                "bbox": [round(value, 3) for value in (left, top, width, height)],
                "area": round(width * height, 3),
                "iscrowd": 0,
            }
