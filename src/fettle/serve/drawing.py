"""Copies of photographs with the answers drawn on them, to look at."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fettle.data.decode import decode
from fettle.errors import StorageError
from fettle.serve.predictions import Mark, Prediction

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")
LINE, TEXT = 1 / 250, 1 / 40  # of the longer side


def draw_files(paths: Sequence[Path], predictions: Sequence[Prediction], folder: Path) -> tuple[Path, ...]:
    """Write a copy of each photograph into ``folder`` as ``<name>.jpg``, numbered where names meet, and return them.

    Raises:
        StorageError: If one cannot be written.
    """
    written: list[Path] = []
    for path, prediction in zip(paths, predictions, strict=True):
        target, number = folder / f"{path.stem}.jpg", 1
        while target in written:
            number += 1
            target = folder / f"{path.stem}-{number}.jpg"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw(decode(path).pixels, prediction.marks)).save(target, quality=90)
        except OSError as error:
            raise StorageError(f"{target} cannot be written ({error}): give another folder with `--draw`.") from None
        written.append(target)
    return tuple(written)


def draw(photo: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """Return a copy of the photograph (H, W, 3) uint8 with boxes and their captions."""
    image = Image.fromarray(photo)
    pencil, side = ImageDraw.Draw(image), max(image.size)
    width, font = max(1, round(side * LINE)), ImageFont.load_default(max(10, side * TEXT))
    for mark in reversed(marks):  # the first is the surest, it lies on top
        colour = COLOURS[zlib.crc32(mark.label.encode()) % len(COLOURS)]  # the same in every picture
        left, top, right, bottom = mark.box or (0, 0, *image.size)
        if mark.box:
            pencil.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=width)
        room = image.width - width - pencil.textbbox((0, 0), mark.caption, font=font)[2]
        corner = (max(0, min(left + width, room)), top + width)
        pencil.rectangle(pencil.textbbox(corner, mark.caption, font=font), fill=colour)
        pencil.text(corner, mark.caption, fill="white", font=font)
    return np.asarray(image)
