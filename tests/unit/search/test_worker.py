"""What a worker does with one trial: it aims again where the table misjudged it, and no training makes it worse."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState
from safetensors.torch import load_file
from torch import nn

from fettle.errors import OptimizeError
from fettle.search import worker
from fettle.search.shapes import Shape
from fettle.search.subject import Subject
from fettle.search.trials import FULL, MAKING, Rung, Trial
from fettle.search.whole import Standing, read_standings, standings_of
from fettle.search.worker import Worker
from fettle.train.result import DivergedError

SHAPE = Shape(32, 0, "even", "group_norm", 8, 0.6)


def noted(working: Worker, number: int, ms: float, *rungs: Rung) -> Trial:
    """Return a trial that is in the notebook, with the whole network as what came of it."""
    trial = Trial(number, SHAPE, latencies={str(working.ground.form): ms}, rungs=rungs)
    working.notebook.save(trial, working.subject.model, working.subject.architecture)
    return trial


def test_a_training_keeps_its_last_epoch(suffering: Subject, tmp_path: Path) -> None:
    """The best of many is the luckiest too; at this rate it is seldom the last."""
    model = copy.deepcopy(suffering.model)
    fitted = suffering.fit(
        model, suffering.architecture, epochs=4, rate=0.05 / suffering.train.lr, folder=tmp_path / "fit"
    )
    final = load_file(tmp_path / "fit" / "final.safetensors")
    for name, value in fitted.state_dict().items():
        torch.testing.assert_close(value, final[name])


@pytest.mark.parametrize(("score", "loss", "better"), [(0.8, 0.5, False), (0.95, 0.5, True), (0.89, 0.1, True)])
def test_a_training_that_makes_it_worse_is_taken_back(
    working: Worker, score: float, loss: float, better: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(self: Subject, model: nn.Module, *_: object, **__: object) -> nn.Module:
        with torch.no_grad():
            model.fc.bias.fill_(7.0)
        return model

    monkeypatch.setattr(Subject, "fit", fit)
    monkeypatch.setattr(working.track, "score", lambda *_: (score, loss))
    subject, notebook = working.subject, working.notebook
    before = noted(working, 0, 1.0, Rung(1, 2, 0.9, 0.2, 4.0))
    after = working._train(before, *notebook.load(before), level=2, epochs=4)
    assert notebook.trials() == [after]
    assert (after.level, after.score, after.rungs[-1].loss) == ((2, score, loss) if better else (2, 0.9, 0.2))
    assert after.epochs == 6, "they were spent all the same"
    bias = notebook.load(after)[0].fc.bias
    torch.testing.assert_close(bias, torch.full_like(bias, 7.0) if better else subject.model.fc.bias)


def test_what_is_far_faster_than_it_was_meant_to_be_is_shaped_again(
    working: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, shares, asked = str(working.ground.form), iter((0.4, 0.9, 0.2)), []

    def measure(trial: Trial, shaped: object) -> Trial:
        asked.append(shaped)
        return replace(trial, predicted_ms=1.0, latencies={form: next(shares)})

    monkeypatch.setattr(working, "_measure", measure)
    monkeypatch.setattr(worker, "FASTER", 0.0)  # it is left after that
    trial = Trial(0, SHAPE)
    working.study.ask()
    assert working._first(trial) == "trials left"
    assert len(asked) == 2, "0.9 of what was expected is near enough"


def test_what_two_processes_died_over_is_left(working: Worker) -> None:
    working.study.ask()
    trial = noted(working, 0, 1.0)
    claim = working.notebook.place(0) / "worker"
    claim.write_text("1-gone")
    task, _ = working._claim()
    assert task == (trial, working._first), "the first may have been killed for anything"
    claim.write_text("1-gone\n2-gone")
    task, _ = working._claim()
    assert task is not None
    task[1](trial)
    assert working.notebook.trials()[0].left == "2 processes died over it"
    assert working.study.trials[0].state == TrialState.FAIL


def test_what_ends_in_an_error_is_claimed_no_longer(working: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Worker, trial: Trial) -> str:
        assert working._claimants(trial) == [working.claims.name]
        raise KeyboardInterrupt

    monkeypatch.setattr(Worker, "_first", stop)
    with pytest.raises(KeyboardInterrupt):
        working.work()
    (trial,) = working.notebook.trials()
    assert not working._claimants(trial)


@pytest.mark.parametrize(("epochs", "score", "goes_on"), [(1, 0.0, True), (4, 0.0, False), (1, 1.1, False)])
def test_a_trial_in_full_that_had_little_time_goes_on_where_nothing_else_does(
    working: Worker, epochs: int, score: float, goes_on: bool
) -> None:
    ground, notebook = working.ground, working.notebook
    notebook.spend("trials", 900.0)
    rungs = Rung(1, 1, ground.judge.score, 0.2, 1.0), Rung(FULL, epochs, ground.judge.score, 0.2, float(epochs))
    trial = noted(working, 0, 0.5 * ground.ms, *rungs)
    notebook.note(standings_of(trial), [Standing(ground.form, 0.5 * ground.ms, score).to_json()])
    assert working.policy.promising([trial]) == (trial if goes_on else None)
    earlier = replace(trial, number=1, rungs=trial.rungs[:1])
    assert working.policy.promising([trial, earlier]) == earlier


def test_when_it_goes_on_its_forms_are_made_again(working: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = working.notebook
    trial = noted(working, 0, 1.0, Rung(FULL, 1, 0.5, 0.2, 1.0))
    notebook.note(standings_of(trial), [Standing(working.ground.form, 1.0, 0.5).to_json()])
    notebook.spend("trials", 900.0)
    assert working._further(trial) == "trials in full"
    (after,) = notebook.trials()
    assert working._choose(working.policy) == (after, working._finish)
    assert working._finish(after) is None
    assert notebook.typical(MAKING) is not None, "it has noted what it took"
    assert [rung.level for rung in after.rungs] == [FULL, FULL]
    assert after.score >= 0.5
    assert read_standings(notebook)["0"][0].ms != 1.0


def test_what_cannot_be_exported_is_left_and_the_search_goes_on(
    working: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OptimizeError("The exported graph differs")

    monkeypatch.setattr(working.track, "score", refuse)
    monkeypatch.setattr(worker, "FASTER", 100.0)
    asked = working._begin()
    assert working._first(asked) == "trials left"
    noted(working, 5, 1.0, Rung(1, 0, 0.9, 0.2, 1.0))
    assert working._further(working.notebook.trials()[-1]) == "trials left"
    assert [trial.left for trial in working.notebook.trials()] == ["The exported graph differs"] * 2


def test_the_same_network_is_not_tried_twice(working: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "FASTER", 100.0)
    first = working._begin()
    assert working._first(first) == "trials"
    again = replace(working._begin(), shape=replace(first.shape, share=first.shape.share * 1.0001))
    assert working._first(again) == "trials left"
    costs = [trial.value for trial in working.study.trials]
    assert costs[0] == costs[1], "the sampler knows"
    assert working.notebook.trials()[1].left == "it is the network of trial 0"


def test_forms_outlive_a_training_that_fails(working: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise DivergedError("the loss is nan")

    monkeypatch.setattr(Subject, "fit", diverge)
    trial = noted(working, 0, 1.0, Rung(1, 1, 0.9, 0.2, 1.0))
    working.notebook.note(standings_of(trial), [Standing(working.ground.form, 1.0, 0.9).to_json()])
    assert working._further(trial) == "trials left"
    assert working.notebook.trials()[0].left == "the loss is nan"
    assert read_standings(working.notebook)["0"] == (Standing(working.ground.form, 1.0, 0.9),)


@pytest.mark.parametrize(("lost", "times", "overtaken"), [(0.0, 1.0, True), (0.01, 1.0, False), (0.0, 1.3, False)])
def test_what_is_slower_than_a_trial_that_lost_nothing_is_not_trained(
    working: Worker, lost: float, times: float, overtaken: bool
) -> None:
    ground = working.ground
    noted(working, 0, 0.5 * ground.ms, Rung(1, 1, ground.judge.score - lost, times * ground.judge.loss, 1.0))
    assert working.policy.is_overtaken(0.6 * ground.ms) == overtaken
    assert not working.policy.is_overtaken(0.4 * ground.ms)


def test_beside_what_is_trained_in_full_the_fastest_that_lost_nothing_are_made_as_they_are(working: Worker) -> None:
    ground, notebook = working.ground, working.notebook

    def trial(number: int, ms: float, score: float) -> Trial:
        return noted(working, number, ms, Rung(1, 1, score, ground.judge.loss, 1e6))

    sure, lost = ground.judge.score, ground.judge.score - 0.01
    trials = [trial(0, 1.0, sure), trial(1, 0.5, sure), trial(2, 0.2, lost), trial(3, 2.0, sure)]
    assert working.policy.spare(trials) is None, "while there is time to look for others"
    notebook.spend("trials", 900.0)
    made = []
    while task := working._choose(working.policy):
        assert task[1] == working._finish, "an epoch of any takes too long"
        task[1](task[0])
        made.append(task[0].number)
    assert made == [1, 0]
    assert {"0", "1"} < set(read_standings(notebook))


def test_where_all_lost_something_the_one_that_lost_least_is_made_and_has_time_for_it(
    working: Worker,
) -> None:
    ground, notebook = working.ground, working.notebook
    best, loss = ground.judge.score, ground.judge.loss
    first = noted(working, 0, 0.6 * ground.ms, Rung(1, 1, best - 0.01, loss, 1.0))
    second = noted(working, 1, 0.5 * ground.ms, Rung(1, 1, best - 0.02, loss, 1.0))
    poor = noted(working, 2, 0.2 * ground.ms, Rung(1, 1, best - 0.4, 9 * loss, 1.0))
    notebook.spend("trials", working.policy.left - 2.5 * ground.finish)
    assert working.policy.spare([first, second, poor]) == first
    left = working.policy.left  # 2.5 times that, but for what the notebook rounds
    assert working.policy._left_beside(second) == pytest.approx(left - ground.finish)
    assert working.policy._left_beside(first) == pytest.approx(left)
    notebook.note(standings_of(first), [Standing(ground.form, 0.6 * ground.ms, best).to_json()])
    assert working.policy.spare([second, poor]) == second
    notebook.note(standings_of(second), [Standing(ground.form, 0.5 * ground.ms, best).to_json()])
    assert working.policy.spare([poor]) is None


def test_beside_what_is_good_nothing_hopeless_is_trained(working: Worker) -> None:
    ground, notebook = working.ground, working.notebook
    loss = ground.judge.loss
    notebook.spend("trials", 900.0)
    hopeless = noted(working, 0, 0.1 * ground.ms, Rung(1, 1, ground.judge.score - 0.4, 9 * loss, 1.0))
    assert working.policy.promising([hopeless]) == hopeless, "where there is nothing else"
    good = noted(working, 1, 0.5 * ground.ms, Rung(FULL, 4, ground.judge.score, loss, 4.0))
    notebook.note(standings_of(good), [Standing(ground.form, 0.5 * ground.ms, ground.judge.reference).to_json()])
    assert working.policy.promising([hopeless, good]) is None
    near = noted(working, 2, 0.2 * ground.ms, Rung(1, 1, ground.judge.score - 0.03, loss, 1.0))
    assert working.policy.promising([hopeless, good, near]) == near
