"""What each lever brought: which variants there are of a trial, and which trial it is."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fettle.evaluate.intervals import Interval
from fettle.search.ablation import Row, best_trial
from fettle.search.budget import counted
from fettle.search.forms import Form
from fettle.search.judge import Judge
from fettle.search.shapes import Shape
from fettle.search.space import Space
from fettle.search.trials import WHOLE, Notebook, Trial
from fettle.search.variants import FOUND, PLENTY, Variant, variants
from fettle.search.whole import Standing, standings_of
from fettle.spec import SearchConfig

INT8, FLOAT = Form("openvino", "int8"), Form("openvino", "float32")
SHAPE = Shape(32, 1, "even", "taylor", 8, 0.4)


def made(
    shape: Shape = SHAPE, *, form: Form = INT8, kept: tuple[str, ...] = ("a", "b"), taught: bool = True, **changes: Any
) -> list[Variant]:
    levers = {"sizes": (64, 48, 32), "blocks": 2, "widths": True, "importances": ("taylor", "group_norm"),
              "width_steps": (8, 16), **changes}  # fmt: skip
    return list(variants(shape, Standing(form, 1.0, 0.9, kept), Space(**levers), taught=taught))


def test_every_lever_is_left_out_once() -> None:
    found, *others = made()
    assert (found.lever, found.shape, found.form, found.taught, found.mixed) == (FOUND, SHAPE, INT8, True, True)
    changes = {each.lever: _difference(found, each) for each in others}
    assert changes == {
        "size": {"input_size": 64},
        "depth": {"skipped": 0},
        "prune": {"share": PLENTY, "spread": "clock"},
        "align": {"width_step": 1},
        "importance": {"importance": "group_norm"},
        "reconstruct": {"fitted": False},
        "distil": {"taught": False},
        "quantize": {"form": FLOAT, "mixed": False, "again": True},
        "mixed precision": {"mixed": False, "again": True},
    }


def _difference(found: Variant, other: Variant) -> dict[str, Any]:
    def flat(variant: Variant) -> dict[str, Any]:
        values = {**vars(variant), **vars(variant.shape)}
        return {name: value for name, value in values.items() if name not in ("shape", "lever", "instead")}

    before = flat(found)
    return {name: value for name, value in flat(other).items() if value != before[name]}


def test_a_lever_that_was_not_used_is_left_out() -> None:
    whole = Shape(64, 0, "even", "group_norm", 1, 1.0)
    assert [each.lever for each in made(whole, form=FLOAT, kept=(), taught=False, widths=False)] == [FOUND]
    assert [each.lever for each in made(whole, form=FLOAT, kept=(), taught=False, importances=("group_norm",))] == [
        FOUND,
        "prune",
        "reconstruct",
    ]
    assert "mixed precision" not in {each.lever for each in made(kept=())}


def test_it_is_of_the_fastest_trial_that_is_good_enough(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path)
    notebook.note(WHOLE, [Standing(INT8, 0.1, 0.99).to_json()])
    assert best_trial(notebook, SearchConfig(), judge(0.9)) is None
    standings = {1: [(INT8, 1.0, 0.5), (FLOAT, 4.0, 0.95)], 2: [(INT8, 2.0, 0.91)], 3: [(INT8, 3.0, 0.92)]}
    for number, forms in standings.items():
        notebook.save(trial := Trial(number, SHAPE))
        notebook.note(standings_of(trial), [Standing(*each).to_json() for each in forms])
    assert _name(best_trial(notebook, SearchConfig(), judge(0.9))) == (2, INT8)
    assert _name(best_trial(notebook, SearchConfig(), judge(0.93))) == (1, FLOAT)
    assert best_trial(notebook, SearchConfig(latency_ms=1.5), judge(0.9)) is None


def judge(floor: float) -> Judge:
    return Judge(floor, floor, math.inf, 0.0)


def _name(best: tuple[Trial, Standing] | None) -> tuple[int, Form]:
    assert best is not None
    return best[0].number, best[1].form


@pytest.mark.parametrize(
    "row",
    [
        Row("size", "the whole image", Interval(2.0, 1.9, 2.1, 0.95), 0.4, 0.9),
        Row("align", "as they come", failed="no"),
    ],
)
def test_a_row_comes_back(row: Row) -> None:
    assert Row.from_json(json.loads(json.dumps(asdict(row)))) == row


def test_its_time_is_outside_of_the_budget() -> None:
    assert counted({"trials": 2.0, "whole": 1.0, "ablation": 50.0}) == 3.0
