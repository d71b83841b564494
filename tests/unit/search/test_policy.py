"""What is worth knowing next: trials are fitted first, and how they are trained follows from what others have shown."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fettle.search.forecast import KEPT
from fettle.search.shapes import Shape
from fettle.search.stages import Stages
from fettle.search.trials import BRIEF, FITTED, FULL, MAKING, Rung, Trial
from fettle.search.whole import Standing, standings_of

SHAPE = Shape(32, 0, "even", "group_norm", 8, 0.6)


def noted(stages: Stages, number: int, ms: float, *drops: float, seconds: float = 6.0, macs: float = 1.0) -> Trial:
    """Return a trial in the notebook that lost so much when it was fitted, trained briefly, and in full."""
    judge = stages.ground.judge
    levels = zip((FITTED, BRIEF, FULL), (0, 2, 4), drops, strict=False)
    rungs = [
        Rung(level, epochs, judge.score - drop, judge.loss * (1 + drop / max(1 - judge.score, 0.01)), seconds)
        for level, epochs, drop in levels
    ]
    latencies = {str(stages.ground.form): ms * stages.ground.ms}
    trial = Trial(number, SHAPE, latencies=latencies, macs=macs, rungs=tuple(rungs))
    stages.notebook.save(trial, stages.subject.model, stages.subject.architecture)
    return trial


def spend(stages: Stages, share: float) -> None:
    stages.notebook.spend("trials", share * stages.ground.budget.seconds)


def test_what_training_brought_others_is_expected_of_what_is_fitted(stages: Stages) -> None:
    lost = 6 * max(stages.ground.judge.max_drop, 0.01)
    trial = noted(stages, 0, 0.5, lost)
    assert stages.policy.forecast.drop(trial) == pytest.approx(KEPT[FITTED] * lost)
    for number, share in enumerate((0.9, 0.5), 1):
        noted(stages, number, 0.5, 2 * lost, share * 2 * lost)
    noted(stages, 3, 0.5, 0.0, lost)
    assert stages.policy.forecast.drop(trial) == pytest.approx(0.5 * lost), (
        "of .9, .5 and the third that was thought; who had lost nothing tells nothing"
    )


def test_what_lost_little_tells_nothing_of_what_is_nearly_ruined(stages: Stages) -> None:
    lost = 6 * max(stages.ground.judge.max_drop, 0.01)
    for number in range(3):
        noted(stages, number, 0.5, lost, -0.01)  # all of it came back
    near, ruined = noted(stages, 3, 0.5, 1.5 * lost), noted(stages, 4, 0.2, 4 * lost)
    assert stages.policy.forecast.drop(near) == pytest.approx(0.0)
    assert stages.policy.forecast.drop(ruined) == pytest.approx(KEPT[FITTED] * 4 * lost)


def test_layers_go_back_to_float_only_where_int8_is_so_much_faster_that_it_pays(stages: Stages) -> None:
    form, max_drop = stages.ground.form, stages.ground.judge.max_drop

    def wants(int8: float, lost: float) -> bool:
        trial = noted(stages, 0, 0.5, lost)
        latencies = {str(form): int8, "float32-onnxruntime": 1.0, "float32-openvino": 2.0}
        return stages.policy.wants_mending(replace(trial, latencies=latencies), form)

    assert wants(0.8, 0.0)
    assert not wants(0.95, 0.0)
    assert not wants(0.8, 2 * max_drop), "no form of it is good enough"


def test_what_has_lost_nothing_is_expected_to_lose_nothing(stages: Stages) -> None:
    trial = noted(stages, 0, 0.5, -0.01)
    assert stages.policy.forecast.drop(trial) == pytest.approx(-0.01)


def test_the_sampler_looks_where_training_may_help(stages: Stages) -> None:
    max_drop = stages.ground.judge.max_drop
    safe, bold, hopeless = (
        noted(stages, number, ms, lost)
        for number, (ms, lost) in enumerate([(0.5, max_drop), (0.2, 2 * max_drop), (0.15, 3 * max_drop + 0.1)])
    )
    costs = list(map(stages.policy.cost, (bold, safe, hopeless)))
    assert costs == sorted(costs)


def test_nothing_is_trained_before_enough_is_fitted(stages: Stages) -> None:
    trial = noted(stages, 0, 0.5, 0.0)
    assert stages.policy.promising([trial]) is None
    spend(stages, 0.5)
    assert stages.policy.promising([trial]) == trial


def test_the_fastest_that_may_become_good_enough_is_trained_briefly_then_in_full(stages: Stages) -> None:
    slow, fast, hopeless = (noted(stages, *each) for each in ((0, 0.6, 0.0), (1, 0.4, 0.05), (2, 0.2, 0.3)))
    spend(stages, 0.5)
    policy = stages.policy
    assert policy.promising([slow, fast, hopeless]) == fast
    assert (policy.next_level(fast), policy.epochs(fast)) == (BRIEF, stages.ground.budget.brief)
    spend(stages, 0.3)
    assert stages.policy.next_level(fast) == FULL


def test_how_long_an_epoch_takes_is_guessed_by_size_and_by_what_others_took(stages: Stages) -> None:
    half = noted(stages, 0, 0.5, 0.0, macs=0.5)
    ground = stages.ground
    guess = stages.policy.forecast.epoch_seconds(half)
    assert 0.5 * ground.budget.epoch < guess < 0.6 * ground.budget.epoch
    trained = noted(stages, 1, 0.5, 0.0, 0.0, seconds=4 * guess, macs=0.5)
    assert stages.policy.forecast.epoch_seconds(trained) == pytest.approx(2 * guess), "two epochs"
    assert stages.policy.forecast.epoch_seconds(half) == pytest.approx(2 * guess)
    assert stages.policy.forecast.epoch_seconds(replace(half, macs=0.0)) < guess


def test_late_trials_begin_only_with_time_to_train_and_make_them(stages: Stages) -> None:
    ground = stages.ground
    first = noted(stages, 0, 0.5, 0.0)
    almost = replace(first, rungs=(replace(first.rungs[0], seconds=stages.policy.left - 1.1 * ground.finish),))
    stages.notebook.save(almost)
    assert stages.policy.may_begin
    stages.notebook.save(first)
    spend(stages, 0.5)
    assert stages.policy.may_begin
    late = replace(first, rungs=(replace(first.rungs[0], seconds=stages.policy.left - 1.1 * ground.finish),))
    stages.notebook.save(late)
    assert not stages.policy.may_begin


def test_beside_what_lost_nothing_only_the_faster_are_trained(stages: Stages) -> None:
    sure = noted(stages, 0, 0.5, -0.01)
    slower, faster = noted(stages, 1, 0.6, -0.02), noted(stages, 2, 0.4, 0.02)
    spend(stages, 0.5)
    assert stages.policy.promising([sure, slower]) == sure
    assert stages.policy.promising([slower]) is None
    assert stages.policy.promising([slower, faster]) == faster


def test_what_its_forms_have_refuted_holds_nobody_back(stages: Stages) -> None:
    sure, slower = noted(stages, 0, 0.5, -0.01), noted(stages, 1, 0.6, 0.0)
    poor = Standing(stages.ground.form, 0.5 * stages.ground.ms, stages.ground.judge.floor - 0.1)
    stages.notebook.note(standings_of(sure), [poor.to_json()])
    spend(stages, 0.5)
    assert stages.policy.promising([slower]) == slower


def test_the_time_that_forms_take_is_that_of_others(stages: Stages) -> None:
    assert stages.policy.finish == stages.ground.finish
    stages.notebook.spend(MAKING, 7.0)
    assert stages.policy.finish == 7.0


@pytest.mark.parametrize(("epochs", "score", "goes_on"), [(1, 0.0, True), (4, 0.0, False), (1, 1.1, False)])
def test_a_trial_in_full_that_had_little_time_goes_on_where_nothing_else_does(
    stages: Stages, trial_of: Callable[..., Trial], epochs: int, score: float, goes_on: bool
) -> None:
    ground, notebook = stages.ground, stages.notebook
    notebook.spend("trials", 900.0)
    rungs = Rung(1, 1, ground.judge.score, 0.2, 1.0), Rung(FULL, epochs, ground.judge.score, 0.2, float(epochs))
    trial = trial_of(0, 0.5 * ground.ms, *rungs)
    notebook.note(standings_of(trial), [Standing(ground.form, 0.5 * ground.ms, score).to_json()])
    assert stages.policy.promising([trial]) == (trial if goes_on else None)
    earlier = replace(trial, number=1, rungs=trial.rungs[:1])
    assert stages.policy.promising([trial, earlier]) == earlier


@pytest.mark.parametrize(("lost", "times", "overtaken"), [(0.0, 1.0, True), (0.01, 1.0, False), (0.0, 1.3, False)])
def test_what_is_slower_than_a_trial_that_lost_nothing_is_not_trained(
    stages: Stages, trial_of: Callable[..., Trial], lost: float, times: float, overtaken: bool
) -> None:
    ground = stages.ground
    trial_of(0, 0.5 * ground.ms, Rung(1, 1, ground.judge.score - lost, times * ground.judge.loss, 1.0))
    assert stages.policy.is_overtaken(0.6 * ground.ms) == overtaken
    assert not stages.policy.is_overtaken(0.4 * ground.ms)


def test_where_all_lost_something_the_one_that_lost_least_is_made_and_has_time_for_it(
    stages: Stages,
    trial_of: Callable[..., Trial],
) -> None:
    ground, notebook = stages.ground, stages.notebook
    best, loss = ground.judge.score, ground.judge.loss
    first = trial_of(0, 0.6 * ground.ms, Rung(1, 1, best - 0.01, loss, 1.0))
    second = trial_of(1, 0.5 * ground.ms, Rung(1, 1, best - 0.02, loss, 1.0))
    poor = trial_of(2, 0.2 * ground.ms, Rung(1, 1, best - 0.4, 9 * loss, 1.0))
    notebook.spend("trials", stages.policy.left - 2.5 * ground.finish)
    assert stages.policy.spare([first, second, poor]) == first
    left = stages.policy.left  # 2.5 times that, but for what the notebook rounds
    assert stages.policy._left_beside(second) == pytest.approx(left - ground.finish)
    assert stages.policy._left_beside(first) == pytest.approx(left)
    notebook.note(standings_of(first), [Standing(ground.form, 0.6 * ground.ms, best).to_json()])
    assert stages.policy.spare([second, poor]) == second
    notebook.note(standings_of(second), [Standing(ground.form, 0.5 * ground.ms, best).to_json()])
    assert stages.policy.spare([poor]) is None


def test_beside_what_is_good_nothing_hopeless_is_trained(stages: Stages, trial_of: Callable[..., Trial]) -> None:
    ground, notebook = stages.ground, stages.notebook
    loss = ground.judge.loss
    notebook.spend("trials", 900.0)
    hopeless = trial_of(0, 0.1 * ground.ms, Rung(1, 1, ground.judge.score - 0.4, 9 * loss, 1.0))
    assert stages.policy.promising([hopeless]) == hopeless, "where there is nothing else"
    good = trial_of(1, 0.5 * ground.ms, Rung(FULL, 4, ground.judge.score, loss, 4.0))
    notebook.note(standings_of(good), [Standing(ground.form, 0.5 * ground.ms, ground.judge.reference).to_json()])
    assert stages.policy.promising([hopeless, good]) is None
    near = trial_of(2, 0.2 * ground.ms, Rung(1, 1, ground.judge.score - 0.03, loss, 1.0))
    assert stages.policy.promising([hopeless, good, near]) == near
