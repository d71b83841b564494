"""The code of docs/serving.md, run as it stands against a real Triton."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fettle.export.manifest import Export
from fettle.publish import Promotion
from fettle.serve.predictions import Classification, Detections
from fettle.serve.triton import LocalTriton

Maker = Callable[..., Export]
Publish = Callable[..., Promotion]
PAGE = Path(__file__).parents[2] / "docs/serving.md"


def run_block(holding: str, triton: LocalTriton, folder: Path) -> str:
    """Run the block of Python that holds a word, and return what it prints."""
    (block,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if holding in code]
    assert "fettle" not in re.findall(r"import (\w+)", block)
    program = block.replace("127.0.0.1:8000", triton.http)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A turned photograph, 300 x 500 upright, with coloured rectangles."""
    upright = np.full((500, 300, 3), 120, np.uint8)
    upright[60:180, 40:150] = (40, 220, 60)
    upright[250:440, 100:290] = (230, 50, 40)
    exif = Image.Exif()
    exif[0x0112] = 8  # turn by 90 degrees counterclockwise to see it upright
    Image.fromarray(np.rot90(upright, -1).copy()).save(tmp_path / "part.png", exif=exif)
    return tmp_path / "part.png"


def test_the_classifier(triton: LocalTriton, publish: Publish, linear_export: Maker, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "part.png")
    publish(linear_export(size=112), name="castings")
    triton.load("castings")
    printed = [float(text) for text in re.findall(r"\d\.[\de-]+", run_block("castings", triton, tmp_path))]
    with triton.client("castings") as client:
        (expected,) = client.predict_files([tmp_path / "part.png"])
    assert isinstance(expected, Classification)
    assert printed == pytest.approx(list(expected.probabilities.values()), abs=1e-6)


@pytest.mark.parametrize("mode", ["squash", "pad"])
def test_the_detector(triton: LocalTriton, publish: Publish, colour_detector: Maker, photo: Path, mode: str) -> None:
    publish(replace(colour_detector(cell=16, stride=8, confidence=0.8, max_detections=40), resize=mode), name="parts")
    triton.load("parts")
    printed = [line.split() for line in run_block('"parts"', triton, photo.parent).splitlines()]
    with triton.client("parts") as client:
        (expected,) = client.predict_files([photo])
    assert isinstance(expected, Detections)
    assert {"green", "red"} == set(expected.labels)
    assert tuple(row[0] for row in printed) == expected.labels
    np.testing.assert_allclose([float(row[1]) for row in printed], expected.scores, atol=1e-4)
    np.testing.assert_allclose([[float(value) for value in row[2:]] for row in printed], expected.boxes, atol=0.02)
