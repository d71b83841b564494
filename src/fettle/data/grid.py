"""The sample grid: a few images of each class, to be looked at."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fettle.data.boxes import Boxes
from fettle.data.drawing import class_colour, draw_boxes

COLUMNS, MAX_ROWS, GAP, MARGIN = 8, 24, 4, 18
CELL, BOX_CELL = 96, 160  # boxes need room
MOST_CAPTIONS = 3  # more would hide what they name


def grid_of_labels(images: NDArray[np.uint8], labels: NDArray[np.int64], classes: Sequence[str]) -> Image.Image:
    """Draw a row of up to eight images a class under its name and count; of many classes the first 24.

    Args:
        images: (N, S, S, 3) uint8.
        labels: (N,) int64.
        classes: Names of the classes.
    """
    sheet = _Sheet(min(len(classes), MAX_ROWS), columns=COLUMNS, cell=CELL)
    for row, name in enumerate(classes[:MAX_ROWS]):
        of_class = np.flatnonzero(labels == row)
        sheet.title(row, f"{name} ({len(of_class)})")
        for column, index in enumerate(of_class[:COLUMNS]):
            cell = Image.fromarray(images[index]).resize((CELL, CELL), Image.Resampling.BICUBIC)
            sheet.paste(row, column, cell)
    return sheet.image


def grid_of_boxes(images: NDArray[np.uint8], boxes: Boxes, classes: Sequence[str]) -> Image.Image:
    """Draw a row of up to five images a class that it is on, all their boxes in the colours of their classes.

    Args:
        images: (N, S, S, 3) uint8.
        boxes: Of these images.
        classes: Names of the classes.
    """
    columns = COLUMNS * CELL // BOX_CELL + 1
    sheet = _Sheet(min(len(classes), MAX_ROWS), columns=columns, cell=BOX_CELL)
    owner = np.repeat(np.arange(len(boxes)), boxes.counts)
    for row, name in enumerate(classes[:MAX_ROWS]):
        of_class = owner[boxes.labels == row]
        sheet.title(row, f"{name} ({len(of_class)})", colour=class_colour(row))
        for column, index in enumerate(np.unique(of_class)[:columns]):
            xyxy, labels = boxes.of(index)
            captions = [classes[label] for label in labels] if len(labels) <= MOST_CAPTIONS else []
            sheet.paste(row, column, draw_boxes(images[index], xyxy, labels, captions=captions, side=BOX_CELL))
    return sheet.image


class _Sheet:
    """Rows of square cells, each under a title."""

    def __init__(self, rows: int, *, columns: int, cell: int) -> None:
        self._cell = cell
        size = (columns * (cell + GAP) + GAP, rows * (cell + GAP + MARGIN) + GAP)
        self.image = Image.new("RGB", size, "white")
        self._draw, self._font = ImageDraw.Draw(self.image), ImageFont.load_default(13)

    def title(self, row: int, text: str, *, colour: tuple[int, int, int] = (0, 0, 0)) -> None:
        place = (GAP, self._top(row))
        self._draw.text(place, " ".join(text.split()), fill="black", font=self._font)
        if any(colour):
            end = self._draw.textlength(" ".join(text.split()), font=self._font) + GAP
            self._draw.rectangle((end + 6, place[1] + 3, end + 16, place[1] + 13), fill=colour)

    def paste(self, row: int, column: int, cell: Image.Image) -> None:
        self.image.paste(cell, (GAP + column * (self._cell + GAP), self._top(row) + MARGIN))

    def _top(self, row: int) -> int:
        return GAP + row * (self._cell + GAP + MARGIN)
