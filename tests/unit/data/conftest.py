"""Small sources of images, drawn from a seed; every image differs from the others."""

from collections.abc import Callable
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
