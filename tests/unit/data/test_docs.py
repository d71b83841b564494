"""The page on data does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL))


def test_commands(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-ec", blocks("sh")], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)
    assert "layout: coco" in (tmp_path / "fettle.yaml").read_text()


def test_placement():
    scope: dict[str, object] = {}
    exec(blocks("python") + "\nfound = placement.to_photo(placement.to_square([[100, 200, 300, 400]]))", scope)
    np.testing.assert_allclose(scope["found"], [[100, 200, 300, 400]], atol=0.01)
