"""Small sources of images, drawn from a seed; every image differs from the others."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Draw = Callable[..., NDArray[np.uint8]]


def draw(seed: int, *, size: tuple[int, int] = (24, 20)) -> NDArray[np.uint8]:
    """Blocks of random colours, (height, width, 3): neither equal to nor like those of another seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST))


@pytest.fixture
def picture() -> Draw:
    return draw


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write ``{path of a class folder: number of images}`` below a new folder."""

    def make(counts: dict[str, int], *, name: str = "source") -> Path:
        source = tmp_path / name
        source.mkdir()
        seed = 0
        for folder, count in counts.items():
            (source / folder).mkdir(parents=True)
            for index in range(count):
                Image.fromarray(draw(seed)).save(source / folder / f"{index:03d}.png")
                seed += 1
        return source

    return make


Box = tuple[int, float, float, float, float]  # label, left, top, right, bottom in pixels
CLASSES = ("bolt", "nut")


def save_image(file: Path, seed: int, *, size: tuple[int, int] = (40, 30)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw(seed, size=size)).save(file)


@pytest.fixture
def make_yolo(tmp_path: Path) -> Callable[..., Path]:
    """Write images of 40 x 30 pixels with their boxes by name, such as ``{"train/a": [(0, 4, 3, 20, 15)]}``.

    A list of strings is written as the lines of the label file; ``None`` writes none.
    """

    def make(boxes: Mapping[str, Sequence[Box | str] | None], *, name: str = "source", about: str = "") -> Path:
        source = tmp_path / name
        for seed, (stem, found) in enumerate(boxes.items()):
            save_image(source / f"images/{stem}.png", seed)
            if found is not None:
                file = source / f"labels/{stem}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("".join(f"{each if isinstance(each, str) else yolo_line(each)}\n" for each in found))
        splits = sorted({stem.split("/")[0] for stem in boxes})
        entries = "".join(f"{split}: images/{split}\n" for split in splits)
        (source / "data.yaml").write_text(f"names: {list(CLASSES)}\n{entries}{about}")
        return source

    return make


def yolo_line(box: Box, *, size: tuple[int, int] = (40, 30)) -> str:
    label, left, top, right, bottom = box
    values = ((left + right) / 2 / size[0], (top + bottom) / 2 / size[1])
    sides = ((right - left) / size[0], (bottom - top) / size[1])
    return " ".join(map(str, (label, *values, *sides)))


@pytest.fixture
def make_coco(tmp_path: Path) -> Callable[..., Path]:
    """Write ``annotations.json`` and images of 40 x 30 pixels."""

    def make(images: Sequence[Mapping[str, object]], annotations: Sequence[Mapping[str, object]]) -> Path:
        source = tmp_path / "source"
        for seed, image in enumerate(images):
            save_image(source / str(image["file_name"]), seed)
        about = {
            "images": [{"width": 40, "height": 30, **image} for image in images],
            "annotations": annotations,
            "categories": [{"id": 3, "name": "bolt"}, {"id": 7, "name": "nut"}],
        }
        (source / "annotations.json").write_text(json.dumps(about))
        return source / "annotations.json"

    return make


VOC_OBJECT = """
  <object>
    <name>{}</name>
    <bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>
  </object>"""


def voc_page(*objects: tuple[object, ...], size: tuple[int, int] = (40, 30), filename: str = "") -> str:
    width, height = size
    about = f"<filename>{filename}</filename>\n<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation>\n{about}{''.join(VOC_OBJECT.format(*each) for each in objects)}\n</annotation>\n"


@pytest.fixture
def make_voc(tmp_path: Path) -> Callable[..., Path]:
    """Write XML pages by path below the source, and images of 40 x 30 pixels by path."""

    def make(pages: Mapping[str, str], images: Sequence[str], *, size: tuple[int, int] = (40, 30)) -> Path:
        source = tmp_path / "source"
        for seed, path in enumerate(images):
            save_image(source / path, seed, size=size)
        for path, text in pages.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text, encoding="utf-8")
        return source

    return make


@pytest.fixture
def voc() -> Callable[..., str]:
    return voc_page
