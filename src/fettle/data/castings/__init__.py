"""Castings: a procedural data set of photographs of pump impellers and discs, good and defective.

It needs no download and no licence, every image can be made again from (seed, number), and it is hard enough that a
bad model shows. The boxes of the defects lie beside the images, for detection.
"""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fettle.data.castings.defects import DEFECTS
from fettle.data.castings.light import photograph
from fettle.data.castings.parts import PARTS
from fettle.data.castings.scene import OVERSAMPLING, Plane, Scene, pose
from fettle.data.castings.surface import dirt, machining, material
from fettle.errors import DataError

GENERATOR = 1  # raise it when images change
BOXES = "boxes.json"


@dataclass(frozen=True)
class Box:
    """A defect: its kind, and the pixels that it covers, the right and lower ends excluded."""

    kind: str
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Casting:
    """A photograph, (size, size, 3) uint8 RGB, and the defects on it."""

    image: NDArray[np.uint8]
    boxes: tuple[Box, ...]

    @property
    def label(self) -> str:
        return "defective" if self.boxes else "ok"


def is_defective(index: int) -> bool:
    """Two of five castings are defective."""
    return index % 5 in (1, 3)


def make_casting(index: int, *, size: int = 128, seed: int = 0) -> Casting:
    """Make casting number ``index``; it depends on nothing else than the arguments."""
    rng = np.random.default_rng((seed, index))
    scene = Scene(size, pose(size, rng))
    PARTS[rng.choice(list(PARTS))](scene, rng)
    material(scene, rng)
    machining(scene, rng)
    dirt(scene, rng)
    boxes = []
    if is_defective(index):
        for kind in rng.choice(list(DEFECTS), 1 + (rng.random() < 0.3), replace=False):
            boxes.append(_box(str(kind), DEFECTS[kind](scene, rng)))
    return Casting(photograph(scene, rng), tuple(boxes))


def make_castings(folder: Path, *, count: int = 1500, size: int = 128, seed: int = 0) -> None:
    """Write ``ok/*.jpg``, ``defective/*.jpg`` and ``boxes.json`` into ``folder``, all or nothing.

    Raises:
        DataError: If ``folder`` exists.
    """
    if folder.exists():
        raise DataError(f"{folder} exists: castings are made in a new folder.")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for label in ("ok", "defective"):
        (partial / label).mkdir(parents=True)

    def write(index: int) -> tuple[str, list[dict[str, Any]]]:
        casting = make_casting(index, size=size, seed=seed)
        name = f"{casting.label}/casting_{index:05d}.jpg"
        cv2.imwrite(str(partial / name), casting.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])
        return name, [vars(box) for box in casting.boxes]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        boxes = dict(pool.map(write, range(count)))
    about = {"generator": GENERATOR, "count": count, "size": size, "seed": seed, "boxes": boxes}
    (partial / BOXES).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    partial.rename(folder)


def _box(kind: str, found: Plane) -> Box:
    rows, columns = (np.flatnonzero((found > 0.25).any(axis)) // OVERSAMPLING for axis in (1, 0))
    return Box(kind, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
