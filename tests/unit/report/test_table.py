"""The table for the terminal."""

import subprocess
import sys

from fettle.evaluate import results
from fettle.evaluate.results import Selection
from fettle.report.table import candidates_table, standing, to_text


def test_one_line_a_candidate(run) -> None:
    selection = results.load(run["selection"] / results.SELECTION, Selection)
    lines = to_text(selection).splitlines()
    assert len(lines) == 1 + len(selection.candidates)
    assert lines[0].split()[:2] == ["candidate", "precision"]
    winner = next(line for line in lines if line.startswith("int8-onnxruntime"))
    assert winner.endswith("winner")
    assert "3.0" in winner
    assert next(line for line in lines if line.startswith("slow")).endswith("dropped")
    assert "\x1b" not in to_text(selection)


def test_detectors_are_told_by_their_own_measure(detection_run) -> None:
    selection = results.load(detection_run["selection"] / results.SELECTION, Selection)
    assert to_text(selection).splitlines()[0].split()[:3] == ["candidate", "precision", "mAP50"]


def test_styles_tell_the_standing(run) -> None:
    selection = results.load(run["selection"] / results.SELECTION, Selection)
    states = [standing(row, selection) for row in selection.candidates]
    assert states == ["passes", "winner", "dropped"]
    assert [row.style for row in candidates_table(selection).rows] == ["", "bold green", "dim"]


def test_is_light() -> None:
    code = "import sys, fettle.report.table; print({'torch', 'matplotlib', 'sklearn', 'jinja2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
