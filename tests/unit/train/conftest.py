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
