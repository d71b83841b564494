"""Castings: a procedural data set of photographs of pump impellers and discs, good and defective.

It needs no download and no licence, every image can be made again from (seed, number), and it is hard enough that a
bad model shows. The boxes of the defects lie beside the images, for detection.
"""

import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fettle.card import digest_file, digest_json
from fettle.data.castings.defects import DEFECTS
from fettle.data.castings.light import photograph
from fettle.data.castings.parts import PARTS
from fettle.data.castings.scene import OVERSAMPLING, Plane, Scene, pose
from fettle.data.castings.surface import dirt, machining, material
from fettle.errors import DataError
from fettle.hardware import passport

log = logging.getLogger("fettle")

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
        for kind in rng.choice(list(DEFECTS), rng.choice((1, 2, 3), p=(0.3, 0.5, 0.2)), replace=False):
            boxes.append(_box(str(kind), DEFECTS[kind](scene, rng)))
    return Casting(photograph(scene, rng), tuple(boxes))


def make_castings(folder: Path, *, count: int = 1500, size: int = 128, seed: int = 0) -> None:
    """Write ``ok/*.jpg``, ``defective/*.jpg`` and ``boxes.json`` into ``folder``, all or nothing.

    The same castings that are there already are left as they are.

    Raises:
        DataError: If ``folder`` holds anything else, or cannot be written.
    """
    wanted = recipe(count=count, size=size, seed=seed)
    if folder.exists() and any(folder.iterdir()):
        _check_same(folder, wanted)
        return
    partial = folder.with_name(f".{folder.name}.partial")
    log.info("Making %d castings in %s.", count, folder)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        boxes = _write_images(partial, count=count, size=size, seed=seed)
        files = {name: digest_file(partial / name) for name in boxes}
        about = {**wanted, "digest": digest_json(files), "boxes_digest": digest_json(boxes), "boxes": boxes}
        (partial / BOXES).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        partial.rename(folder)
    except OSError as error:
        raise DataError(f"Could not make castings in {folder}: {error}. Choose another dataset.path.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def recipe(*, count: int = 1500, size: int = 128, seed: int = 0) -> dict[str, int]:
    """Return what decides the images."""
    return {"generator": GENERATOR, "count": count, "size": size, "seed": seed}


def read_about(folder: Path) -> dict[str, Any]:
    """Return what ``boxes.json`` in ``folder`` says; nothing if it is missing or not ours."""
    try:
        about = json.loads((folder / BOXES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _check_same(folder: Path, wanted: dict[str, int]) -> None:
    about = read_about(folder)
    found = {key: about.get(key) for key in wanted}
    if found != wanted:
        raise DataError(
            f"{folder} holds other images than the castings that are asked for ({wanted}, found {found}): remove it, "
            "choose another dataset.path, or read what is there with dataset.layout=imagefolder."
        )


def _write_images(folder: Path, *, count: int, size: int, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Write the photographs and return the boxes on each. NumPy and OpenCV let go of the interpreter's lock."""
    for label in ("ok", "defective"):
        (folder / label).mkdir(parents=True)

    def write(index: int) -> tuple[str, list[dict[str, Any]]]:
        casting = make_casting(index, size=size, seed=seed)
        name = f"{casting.label}/casting_{index:05d}.jpg"
        Image.fromarray(casting.image).save(folder / name, quality=93)
        return name, [vars(box) for box in casting.boxes]

    with ThreadPoolExecutor(passport().cores) as pool:
        return dict(pool.map(write, range(count)))


def _box(kind: str, found: Plane) -> Box:
    rows, columns = (np.flatnonzero((found > 0.25).any(axis)) // OVERSAMPLING for axis in (1, 0))
    return Box(kind, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
