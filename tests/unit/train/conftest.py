"""A tiny data set that a tiny network learns in seconds: the class is where the bright square is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fettle.data.dataset import Dataset, open_dataset
from fettle.spec import DatasetConfig
from fettle.steps.ingest import ingest

torch.set_num_threads(1)  # tiny networks: a second thread only waits for the first
CLASSES = ("left", "middle", "right")


def make_images(folder: Path, *, count: int = 120, size: int = 32, seed: int = 0) -> Path:
    generator = np.random.default_rng(seed)
    for index in range(count):
        label = CLASSES[index % 3]
        image = generator.integers(0, 120, (size, size, 3), dtype=np.uint8)
        top, left = generator.integers(4, size - 12), 2 + CLASSES.index(label) * 10
        image[top : top + 8, left : left + 8] += 100
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / label / f"{index:03}.png")
    return folder


@pytest.fixture(scope="session")
def dataset_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("train-data")
    make_images(root / "images")
    return ingest(root / "images", root / "dataset", dataset=DatasetConfig(), image_size=32).path


@pytest.fixture(scope="session")
def dataset(dataset_path: Path) -> Dataset:
    return open_dataset(dataset_path)


def make_scenes(folder: Path, *, count: int = 60, size: int = 32, seed: int = 0) -> Path:
    """Write bright (class 0) and dark (class 1) rectangles on grey noise, with YOLO's labels; some images are empty."""
    generator = np.random.default_rng(seed)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        image = generator.integers(100, 140, (size, size, 3), dtype=np.uint8)
        rows = []
        for label in range(index % 3):
            width, height = generator.integers(8, 13, 2)
            left, top = (
                generator.integers(0, size // 2 - width, endpoint=True) + label * size // 2,
                generator.integers(size - height),
            )
            image[top : top + height, left : left + width] = (250, 10)[label]
            centre = (left + width / 2) / size, (top + height / 2) / size
            rows.append(f"{label} {centre[0]} {centre[1]} {width / size} {height / size}\n")
        Image.fromarray(image).save(folder / "images" / f"{index:03}.png")
        (folder / "labels" / f"{index:03}.txt").write_text("".join(rows))
    (folder / "data.yaml").write_text("train: images\nnames: [bright, dark]\n")
    return folder


@pytest.fixture(scope="session")
def scenes_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    make_scenes(root / "source", count=150)
    config = DatasetConfig(layout="yolo")
    return ingest(root / "source", root / "dataset", dataset=config, image_size=32, task="detect").path


@pytest.fixture(scope="session")
def scenes(scenes_path: Path) -> Dataset:
    return open_dataset(scenes_path)
