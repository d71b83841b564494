"""Boxes drawn on an image, a colour a class. Needs PIL and numpy only."""

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GOLDEN = 0.618034  # steps of the golden ratio keep the hues of any number of classes apart


def class_colour(label: int) -> tuple[int, int, int]:
    """Return the RGB colour of a class; the same in every picture."""
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN % 1, 0.85, 1.0 if label % 2 else 0.8)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_boxes(
    image: NDArray[np.uint8],
    xyxy: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    captions: Sequence[str] = (),
    side: int | None = None,
) -> Image.Image:
    """Return the image, enlarged or reduced to a square of ``side`` pixels, with its boxes.

    Args:
        image: (S, S, 3) uint8 RGB.
        xyxy: (M, 4) in pixels of the image.
        labels: (M,) class of each box, which gives its colour.
        captions: What is written into each box's corner; empty for none.
        side: Of the picture; by default that of the image.
    """
    side = side or len(image)
    picture = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    corners = np.clip(np.asarray(xyxy, np.float64) * side / len(image), 0, side - 1).tolist()
    for row, (left, top, right, bottom) in enumerate(corners):
        colour = class_colour(int(labels[row]))
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=2)
        if row < len(captions):
            draw.text((left + 3, top + 1), captions[row], fill=colour, font=font, stroke_width=2, stroke_fill="black")
    return picture
