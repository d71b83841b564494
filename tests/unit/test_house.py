"""The house rules that a linter does not know."""

import statistics
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = [path for folder in ("src", "components", "pipelines") for path in (ROOT / folder).rglob("*.py")]


def test_modules_are_one_idea_each():
    lengths = {path: len(path.read_text().splitlines()) for path in MODULES}
    assert statistics.median(lengths.values()) <= 150
    assert not {path: length for path, length in lengths.items() if length > 400}


def test_a_step_has_one_name_everywhere():
    steps = {path.stem for path in (ROOT / "src/fettle/steps").glob("[!_]*.py")}
    components = {path.stem for path in (ROOT / "components").glob("[!_]*.py")} - {"base"}
    assert components == steps - {"approve"}, "a person approves, no task of a pipeline"


def test_no_weights_are_loaded_as_pickle():
    for path in MODULES:
        text = path.read_text()
        assert "import pickle" not in text
        assert "torch.load(" not in text or "weights_only=True" in text, path
