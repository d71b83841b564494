"""The commands of the docs do what the docs say."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = {
    "FETTLE_TRAIN__PRESET": "plain",
    "FETTLE_TRAIN__EPOCHS": "1",
    "FETTLE_TRAIN__PRECISION": "float32",
    "FETTLE_MODEL__IMAGE_SIZE": "32",
    "FETTLE_BENCHMARK__ROUNDS": "3",
    "FETTLE_BENCHMARK__BATCHES": "[1]",
    "FETTLE_RECIPES": "{int8: [{quantize: {images: 16}}]}",
    "FETTLE_RUNTIMES": "[onnxruntime]",
    "FETTLE_GATES__MAX_DROP": "1",
    "FETTLE_GATES__CLASS_FLOOR": "null",
}


def blocks(page: str) -> str:
    """Return the shell blocks of a page as one script that stops at the first failure, and what it started with it."""
    found = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return "set -e\nset -m\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "\n".join(found)


def test_step_by_step(shell, tmp_path):
    done = shell(blocks("docs/steps.md"), tmp_path, **TINY)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert '"probabilities"' in done.stdout
    assert (tmp_path / "report/index.html").is_file()
    assert (tmp_path / "pipeline.yaml").is_file()
    history = (tmp_path / "runs/repository/images/history.json").read_text()
    assert history.count("promote") == 2
    assert "rollback" in history


def test_the_readme_starts_with_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake ([a-z][a-z-]*)", (ROOT / "README.md").read_text()))
    assert {"pipeline-run", "test"} <= targets
    assert all(f"\n{target}:" in makefile for target in targets)
