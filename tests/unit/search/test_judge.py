"""What counts as good: the loss on val has its say beside the score."""

import math
from dataclasses import replace

import pytest

from fettle.search.forms import Form
from fettle.search.judge import Judge
from fettle.search.shapes import Shape
from fettle.search.trials import Rung, Trial
from fettle.search.whole import Standing

JUDGE = Judge(reference=0.94, score=0.94, loss=0.15, max_drop=0.01)
SHAPE = Shape(32, 0, "even", "group_norm", 8, 0.6)


def trial(score: float, loss: float) -> Trial:
    return Trial(0, SHAPE, rungs=(Rung(1, 2, score, loss, 1.0),))


def test_a_lucky_score_does_not_hide_what_the_loss_tells() -> None:
    assert JUDGE.drop(0.94, 0.15) == pytest.approx(0.0)
    assert JUDGE.drop(0.944, 0.177) > 0.006, "errors grow as the loss does: from 6 to 7 of a hundred"
    assert JUDGE.drop(0.93, 0.12) < 0
    assert not JUDGE.lost_nothing(trial(0.95, 0.19))
    assert JUDGE.lost_nothing(trial(0.937, 0.14))


@pytest.mark.parametrize("judge", [replace(JUDGE, loss=math.inf), replace(JUDGE, loss=0.0)])
def test_where_there_is_no_loss_the_score_alone_counts(judge: Judge) -> None:
    assert judge.drop(0.93, 0.3) == pytest.approx(0.01)


def test_a_reference_without_an_error_can_still_be_missed() -> None:
    assert replace(JUDGE, score=1.0).drop(1.0, 0.45) > JUDGE.max_drop


def test_a_form_has_to_hold_and_so_has_its_network() -> None:
    good = Standing(Form("openvino", "int8"), 1.0, JUDGE.floor, drop=0.01)
    assert JUDGE.is_good(good)
    assert not JUDGE.is_good(replace(good, score=0.929))
    assert not JUDGE.is_good(replace(good, drop=0.011))
