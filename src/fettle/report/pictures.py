"""Pictures inside the page."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def data_uri(image: np.ndarray) -> str:
    """Return an (S, S, 3) uint8 image as a JPEG inside a URI."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "JPEG", quality=88)
    return _uri(stream.getvalue())


def framed(image: np.ndarray, frames: Iterable[tuple[np.ndarray, str]], *, side: int = 240) -> np.ndarray:
    """Return an (S, S, 3) uint8 image at ``side`` pixels with boxes drawn: (M, 4) xyxy and their colour."""
    picture = Image.fromarray(np.ascontiguousarray(image)).resize((side, side), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for boxes, colour in frames:
        for left, top, right, bottom in np.asarray(boxes, float) * side / len(image):
            draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=2)
    return np.asarray(picture)


def file_uri(file: Path) -> str | None:
    """Return a JPEG file inside a URI, or ``None`` where there is none."""
    return _uri(file.read_bytes()) if file.is_file() else None


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
