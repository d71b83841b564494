"""Writer of YOLO: ``data.yaml`` and a text file an image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from fettle.data.writers.annotated import Annotated, by_split


def write_yolo(folder: Path, images: Sequence[Annotated], classes: Sequence[str]) -> None:
    """Write ``labels/<split>/<name>.txt``, empty for a background image, and ``data.yaml``."""
    about: dict[str, object] = {"path": "."}
    for split, of_split in by_split(images):
        about[split] = f"images/{split}"
        labels = folder / "labels" / split
        labels.mkdir(parents=True)
        for image in of_split:
            (labels / f"{image.stem}.txt").write_text(_lines(image), encoding="utf-8")
    about["names"] = dict(enumerate(classes))
    with (folder / "data.yaml").open("w", encoding="utf-8") as stream:
        YAML().dump(about, stream)


def _lines(image: Annotated) -> str:
    corners = image.xyxy / np.tile([image.width, image.height], 2)
    centres, sides = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    rows = zip(image.labels.tolist(), np.hstack([centres, sides]).tolist(), strict=True)
    return "".join(f"{label} {' '.join(f'{value:.6f}' for value in row)}\n" for label, row in rows)
