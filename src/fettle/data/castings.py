"""Castings: a procedural data set."""

from pathlib import Path

import numpy as np
from PIL import Image


def make_castings(folder: Path, *, count: int = 1500, size: int = 128, seed: int = 0) -> None:
    """Write an ImageFolder of ``ok`` and ``defective`` castings."""
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        label = "defective" if rng.random() < 0.4 else "ok"
        y, x = np.mgrid[:size, :size] / size - 0.5
        image = 60 + 80 * (np.hypot(x, y) < 0.4) + rng.normal(0, 6, (size, size))
        if label == "defective":
            cx, cy = rng.uniform(-0.2, 0.2, 2)
            image[np.hypot(x - cx, y - cy) < 0.06] -= 60
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / label / f"{index:05d}.png")
