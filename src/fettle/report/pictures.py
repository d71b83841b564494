"""Pictures inside the page."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image


def data_uri(image: np.ndarray) -> str:
    """Return an (S, S, 3) uint8 image as a JPEG inside a URI."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "JPEG", quality=88)
    return _uri(stream.getvalue())


def file_uri(file: Path) -> str | None:
    """Return a JPEG file inside a URI, or ``None`` where there is none."""
    return _uri(file.read_bytes()) if file.is_file() else None


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
