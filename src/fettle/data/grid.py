"""The sample grid: a few images of each class, to be looked at."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

COLUMNS, MAX_ROWS, CELL, GAP, MARGIN = 8, 24, 96, 4, 18


def sample_grid(images: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str]) -> Image.Image:
    """Draw a row of up to eight images a class under its name and count; of many classes the first 24.

    Args:
        images: (N, S, S, 3) uint8.
        labels: (N,) int64.
        classes: Names of the classes.
    """
    shown = classes[:MAX_ROWS]
    height = len(shown) * (CELL + GAP + MARGIN) + GAP
    sheet = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for row, name in enumerate(shown):
        top = GAP + row * (CELL + GAP + MARGIN)
        rows = np.flatnonzero(labels == row)
        draw.text((GAP, top), f"{' '.join(name.split())} ({len(rows)})", fill="black", font=font)
        for column, index in enumerate(rows[:COLUMNS]):
            cell = Image.fromarray(images[index]).resize((CELL, CELL), Image.Resampling.BICUBIC)
            sheet.paste(cell, (GAP + column * (CELL + GAP), top + MARGIN))
    return sheet
