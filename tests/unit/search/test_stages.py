"""What a trial goes through: it is aimed again where the table misjudged it, and no training makes it worse."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fettle.errors import OptimizeError
from fettle.search import stages as module
from fettle.search.shapes import Shape
from fettle.search.stages import Stages
from fettle.search.subject import Subject
from fettle.search.trials import Rung, Trial
from fettle.search.whole import Standing, read_standings, standings_of
from fettle.train.result import DivergedError


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
    stages: Stages,
    trial_of: Callable[..., Trial],
    score: float,
    loss: float,
    better: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fit(self: Subject, model: nn.Module, *_: object, **__: object) -> nn.Module:
        with torch.no_grad():
            model.fc.bias.fill_(7.0)
        return model

    monkeypatch.setattr(Subject, "fit", fit)
    monkeypatch.setattr(stages.track, "score", lambda *_: (score, loss))
    subject, notebook = stages.subject, stages.notebook
    before = trial_of(0, 1.0, Rung(1, 2, 0.9, 0.2, 4.0))
    after = stages._train(before, *notebook.load(before), level=2, epochs=4)
    assert notebook.trials() == [after]
    assert (after.level, after.score, after.rungs[-1].loss) == ((2, score, loss) if better else (2, 0.9, 0.2))
    assert after.epochs == 6, "they were spent all the same"
    bias = notebook.load(after)[0].fc.bias
    torch.testing.assert_close(bias, torch.full_like(bias, 7.0) if better else subject.model.fc.bias)


def test_what_is_far_faster_than_it_was_meant_to_be_is_shaped_again(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, shares, asked = str(stages.ground.form), iter((0.4, 0.9, 0.2)), []

    def measure(trial: Trial, shaped: object) -> Trial:
        asked.append(shaped)
        return replace(trial, predicted_ms=1.0, latencies={form: next(shares)})

    monkeypatch.setattr(stages, "_measure", measure)
    monkeypatch.setattr(module, "FASTER", 0.0)  # it is left after that
    trial = Trial(0, Shape(32, 0, "even", "group_norm", 8, 0.6))
    stages.study.ask()
    assert stages.first(trial) == "trials left"
    assert len(asked) == 2, "0.9 of what was expected is near enough"


def test_what_cannot_be_exported_is_left_and_the_search_goes_on(
    stages: Stages, trial_of: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OptimizeError("The exported graph differs")

    monkeypatch.setattr(stages.track, "score", refuse)
    monkeypatch.setattr(module, "FASTER", 100.0)
    asked = stages.begin()
    assert stages.first(asked) == "trials left"
    trial_of(5, 1.0, Rung(1, 0, 0.9, 0.2, 1.0))
    assert stages.further(stages.notebook.trials()[-1]) == "trials left"
    assert [trial.left for trial in stages.notebook.trials()] == ["The exported graph differs"] * 2


def test_the_same_network_is_not_tried_twice(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FASTER", 100.0)
    first = stages.begin()
    assert stages.first(first) == "trials"
    again = replace(stages.begin(), shape=replace(first.shape, share=first.shape.share * 1.0001))
    assert stages.first(again) == "trials left"
    costs = [trial.value for trial in stages.study.trials]
    assert costs[0] == costs[1], "the sampler knows"
    assert stages.notebook.trials()[1].left == "it is the network of trial 0"


def test_forms_outlive_a_training_that_fails(
    stages: Stages, trial_of: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise DivergedError("the loss is nan")

    monkeypatch.setattr(Subject, "fit", diverge)
    trial = trial_of(0, 1.0, Rung(1, 1, 0.9, 0.2, 1.0))
    stages.notebook.note(standings_of(trial), [Standing(stages.ground.form, 1.0, 0.9).to_json()])
    assert stages.further(trial) == "trials left"
    assert stages.notebook.trials()[0].left == "the loss is nan"
    assert read_standings(stages.notebook)["0"] == (Standing(stages.ground.form, 1.0, 0.9),)
