"""What a worker takes next, and what it does not take again."""

from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from fettle.search.stages import Stages
from fettle.search.trials import FULL, MAKING, Rung, Trial
from fettle.search.whole import Standing, read_standings, standings_of
from fettle.search.worker import Worker


def test_what_two_processes_died_over_is_left(working: Worker, trial_of: Callable[..., Trial]) -> None:
    working.stages.study.ask()
    trial = trial_of(0, 1.0)
    claim = working.notebook.place(0) / "worker"
    claim.write_text("1-gone")
    task, _ = working._claim()
    assert task == (trial, working.stages.first), "the first may have been killed for anything"
    claim.write_text("1-gone\n2-gone")
    task, _ = working._claim()
    assert task is not None
    task[1](trial)
    assert working.notebook.trials()[0].left == "2 processes died over it"
    assert working.stages.study.trials[0].state == TrialState.FAIL


def test_what_ends_in_an_error_is_claimed_no_longer(working: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Stages, trial: Trial) -> str:
        assert working._claimants(trial) == [working.claims.name]
        raise KeyboardInterrupt

    monkeypatch.setattr(Stages, "first", stop)
    with pytest.raises(KeyboardInterrupt):
        working.work()
    (trial,) = working.notebook.trials()
    assert not working._claimants(trial)


def test_when_it_goes_on_its_forms_are_made_again(
    working: Worker, trial_of: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = working.notebook
    trial = trial_of(0, 1.0, Rung(FULL, 1, 0.5, 0.2, 1.0))
    notebook.note(standings_of(trial), [Standing(working.stages.ground.form, 1.0, 0.5).to_json()])
    notebook.spend("trials", 900.0)
    assert working.stages.further(trial) == "trials in full"
    (after,) = notebook.trials()
    assert working._choose(working.stages.policy) == (after, working.stages.finish)
    assert working.stages.finish(after) is None
    assert notebook.typical(MAKING) is not None, "it has noted what it took"
    assert [rung.level for rung in after.rungs] == [FULL, FULL]
    assert after.score >= 0.5
    assert read_standings(notebook)["0"][0].ms != 1.0


def test_beside_what_is_trained_in_full_the_fastest_that_lost_nothing_are_made_as_they_are(
    working: Worker, trial_of: Callable[..., Trial]
) -> None:
    ground, notebook = working.stages.ground, working.notebook

    def trial(number: int, ms: float, score: float) -> Trial:
        return trial_of(number, ms, Rung(1, 1, score, ground.judge.loss, 1e6))

    sure, lost = ground.judge.score, ground.judge.score - 0.01
    trials = [trial(0, 1.0, sure), trial(1, 0.5, sure), trial(2, 0.2, lost), trial(3, 2.0, sure)]
    assert working.stages.policy.spare(trials) is None, "while there is time to look for others"
    notebook.spend("trials", 900.0)
    made = []
    while task := working._choose(working.stages.policy):
        assert task[1] == working.stages.finish, "an epoch of any takes too long"
        task[1](task[0])
        made.append(task[0].number)
    assert made == [1, 0]
    assert {"0", "1"} < set(read_standings(notebook))
