"""What is worth knowing next: trials are fitted first, and how they are trained follows from what others have shown."""

from dataclasses import replace

import pytest

from fettle.search.forecast import KEPT
from fettle.search.shapes import Shape
from fettle.search.trials import BRIEF, FITTED, FULL, MAKING, Rung, Trial
from fettle.search.whole import Standing, standings_of
from fettle.search.worker import Worker

SHAPE = Shape(32, 0, "even", "group_norm", 8, 0.6)


def noted(working: Worker, number: int, ms: float, *drops: float, seconds: float = 6.0, macs: float = 1.0) -> Trial:
    """Return a trial in the notebook that lost so much when it was fitted, trained briefly, and in full."""
    judge = working.ground.judge
    levels = zip((FITTED, BRIEF, FULL), (0, 2, 4), drops, strict=False)
    rungs = [
        Rung(level, epochs, judge.score - drop, judge.loss * (1 + drop / max(1 - judge.score, 0.01)), seconds)
        for level, epochs, drop in levels
    ]
    latencies = {str(working.ground.form): ms * working.ground.ms}
    trial = Trial(number, SHAPE, latencies=latencies, macs=macs, rungs=tuple(rungs))
    working.notebook.save(trial, working.subject.model, working.subject.architecture)
    return trial


def spend(working: Worker, share: float) -> None:
    working.notebook.spend("trials", share * working.ground.budget.seconds)


def test_what_training_brought_others_is_expected_of_what_is_fitted(working: Worker) -> None:
    lost = 6 * max(working.ground.judge.max_drop, 0.01)
    trial = noted(working, 0, 0.5, lost)
    assert working.policy.forecast.drop(trial) == pytest.approx(KEPT[FITTED] * lost)
    for number, share in enumerate((0.9, 0.5), 1):
        noted(working, number, 0.5, 2 * lost, share * 2 * lost)
    noted(working, 3, 0.5, 0.0, lost)
    assert working.policy.forecast.drop(trial) == pytest.approx(0.5 * lost), (
        "of .9, .5 and the third that was thought; who had lost nothing tells nothing"
    )


def test_what_has_lost_nothing_is_expected_to_lose_nothing(working: Worker) -> None:
    trial = noted(working, 0, 0.5, -0.01)
    assert working.policy.forecast.drop(trial) == pytest.approx(-0.01)


def test_the_sampler_looks_where_training_may_help(working: Worker) -> None:
    max_drop = working.ground.judge.max_drop
    safe, bold, hopeless = (
        noted(working, number, ms, lost)
        for number, (ms, lost) in enumerate([(0.5, max_drop), (0.2, 2 * max_drop), (0.15, 3 * max_drop + 0.1)])
    )
    costs = list(map(working.policy.cost, (bold, safe, hopeless)))
    assert costs == sorted(costs)


def test_nothing_is_trained_before_enough_is_fitted(working: Worker) -> None:
    trial = noted(working, 0, 0.5, 0.0)
    assert working.policy.promising([trial]) is None
    spend(working, 0.5)
    assert working.policy.promising([trial]) == trial


def test_the_fastest_that_may_become_good_enough_is_trained_briefly_then_in_full(working: Worker) -> None:
    slow, fast, hopeless = (noted(working, *each) for each in ((0, 0.6, 0.0), (1, 0.4, 0.05), (2, 0.2, 0.3)))
    spend(working, 0.5)
    policy = working.policy
    assert policy.promising([slow, fast, hopeless]) == fast
    assert (policy.next_level(fast), policy.epochs(fast)) == (BRIEF, working.ground.budget.brief)
    spend(working, 0.3)
    assert working.policy.next_level(fast) == FULL


def test_how_long_an_epoch_takes_is_guessed_by_size_and_by_what_others_took(working: Worker) -> None:
    half = noted(working, 0, 0.5, 0.0, macs=0.5)
    ground = working.ground
    guess = working.policy.forecast.epoch_seconds(half)
    assert 0.5 * ground.budget.epoch < guess < 0.6 * ground.budget.epoch
    trained = noted(working, 1, 0.5, 0.0, 0.0, seconds=4 * guess, macs=0.5)
    assert working.policy.forecast.epoch_seconds(trained) == pytest.approx(2 * guess), "two epochs"
    assert working.policy.forecast.epoch_seconds(half) == pytest.approx(2 * guess)
    assert working.policy.forecast.epoch_seconds(replace(half, macs=0.0)) < guess


def test_late_trials_begin_only_with_time_to_train_and_make_them(working: Worker) -> None:
    ground = working.ground
    first = noted(working, 0, 0.5, 0.0)
    almost = replace(first, rungs=(replace(first.rungs[0], seconds=working.policy.left - 1.1 * ground.finish),))
    working.notebook.save(almost)
    assert working.policy.may_begin
    working.notebook.save(first)
    spend(working, 0.5)
    assert working.policy.may_begin
    late = replace(first, rungs=(replace(first.rungs[0], seconds=working.policy.left - 1.1 * ground.finish),))
    working.notebook.save(late)
    assert not working.policy.may_begin


def test_beside_what_lost_nothing_only_the_faster_are_trained(working: Worker) -> None:
    sure = noted(working, 0, 0.5, -0.01)
    slower, faster = noted(working, 1, 0.6, -0.02), noted(working, 2, 0.4, 0.02)
    spend(working, 0.5)
    assert working.policy.promising([sure, slower]) == sure
    assert working.policy.promising([slower]) is None
    assert working.policy.promising([slower, faster]) == faster


def test_what_its_forms_have_refuted_holds_nobody_back(working: Worker) -> None:
    sure, slower = noted(working, 0, 0.5, -0.01), noted(working, 1, 0.6, 0.0)
    poor = Standing(working.ground.form, 0.5 * working.ground.ms, working.ground.judge.floor - 0.1)
    working.notebook.note(standings_of(sure), [poor.to_json()])
    spend(working, 0.5)
    assert working.policy.promising([slower]) == slower


def test_the_time_that_forms_take_is_that_of_others(working: Worker) -> None:
    assert working.policy.finish == working.ground.finish
    working.notebook.spend(MAKING, 7.0)
    assert working.policy.finish == 7.0
