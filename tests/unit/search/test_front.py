"""What a search hands over."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from fettle.search.forms import Form
from fettle.search.front import choose
from fettle.search.judge import Judge
from fettle.search.search import Found
from fettle.search.trials import WHOLE
from fettle.search.whole import Standing
from fettle.spec import SearchConfig

INT8, FLOAT = Form("openvino", "int8"), Form("openvino", "float32")


def found(**trials: list[tuple[Form, float, float]]) -> Found:
    standings = {WHOLE: (Standing(INT8, 4.0, 0.945), Standing(FLOAT, 9.0, 0.95))}
    standings |= {
        number.removeprefix("t"): tuple(Standing(*each) for each in forms) for number, forms in trials.items()
    }
    ground: Any = SimpleNamespace(judge=Judge(0.95, 0.95, math.inf, 0.01))
    return Found(ground, (), standings, {}, cast(Any, Path()))


def owners(search: Found, **config: Any) -> list[tuple[str, str]]:
    wanted = SearchConfig(**{"max_drop": 0.01, "candidates": 3, **config})
    judge = replace(search.ground.judge, max_drop=wanted.max_drop or 0.0)
    ground: Any = SimpleNamespace(judge=judge)
    chosen = choose(replace(search, ground=ground), wanted)
    return [(choice.owner, str(choice.standing.form)) for choice in chosen]


def test_the_fastest_that_are_good_enough_come_first_and_the_whole_network_is_there() -> None:
    search = found(t1=[(INT8, 1.0, 0.90)], t2=[(INT8, 2.0, 0.945)], t3=[(INT8, 3.0, 0.95), (FLOAT, 5.0, 0.95)])
    assert owners(search) == [("2", "int8-openvino"), ("3", "int8-openvino"), (WHOLE, "int8-openvino")]
    assert owners(search, max_drop=0.06)[0] == ("1", "int8-openvino")


def test_another_network_comes_before_another_form_of_the_same() -> None:
    twice = [(INT8, 1.0, 0.95), (FLOAT, 2.0, 0.96)]
    assert owners(found(t1=twice, t2=[(INT8, 3.0, 0.945)])) == [
        ("1", "int8-openvino"),
        ("2", "int8-openvino"),
        (WHOLE, "int8-openvino"),
    ]
    assert owners(found(t1=twice, t2=[(INT8, 3.0, 0.9)]))[:2] == [("1", "int8-openvino"), ("1", "float32-openvino")]


def test_the_one_that_lost_least_has_a_place() -> None:
    search = found(t1=[(INT8, 1.0, 0.945)], t2=[(INT8, 2.0, 0.945)], t3=[(INT8, 3.0, 0.945)])
    (surest,) = search.standings["3"]
    standings = {**search.standings, "3": (replace(surest, drop=-0.01),)}
    assert owners(replace(search, standings=standings)) == [(who, "int8-openvino") for who in ("1", "3", WHOLE)]
    slower = {**standings, "3": (replace(surest, ms=9.5, drop=-0.01),)}
    assert owners(replace(search, standings=slower))[:2] == [(who, "int8-openvino") for who in ("1", "2")]


def test_what_is_not_good_enough_only_fills_up() -> None:
    search = found(t1=[(INT8, 1.0, 0.90)], t2=[(INT8, 2.0, 0.945)])
    assert owners(search) == [("2", "int8-openvino"), (WHOLE, "int8-openvino"), (WHOLE, "float32-openvino")]
    assert owners(search, candidates=4)[0] == ("1", "int8-openvino")
    assert owners(search, candidates=2) == [("2", "int8-openvino"), (WHOLE, "int8-openvino")]


def test_there_are_as_many_as_were_asked_for() -> None:
    assert owners(found(), candidates=4) == [(WHOLE, "int8-openvino")] + [(WHOLE, "float32-openvino")] * 3
    assert owners(found(), candidates=1) == [(WHOLE, "int8-openvino")]


def test_a_latency_that_is_asked_for_comes_before_speed() -> None:
    search = found(t1=[(INT8, 1.0, 0.941)], t2=[(INT8, 2.0, 0.95)])
    assert ("1", "int8-openvino") in owners(search, latency_ms=1.5, candidates=2)
