"""The end of a trial: where INT8 costs it its place, it is trained for INT8; what is no better changes nothing."""

import math
from dataclasses import replace

import pytest

from fettle.export.manifest import read_manifest
from fettle.search.finish import Finish
from fettle.search.forms import Form
from fettle.search.policy import Policy
from fettle.search.shapes import Shape
from fettle.search.stages import Stages
from fettle.search.trials import FULL, ROUNDED, Rung, Trial
from fettle.search.whole import read_standings


@pytest.fixture
def trial(stages: Stages) -> tuple[Trial, Finish]:
    """The whole network as a trial in full, and what finishes it; nothing holds what is asked for."""
    subject, judge = (
        stages.subject,
        replace(stages.ground.judge, reference=1.1, score=1.1, loss=math.inf, max_drop=0.02),
    )
    shape = Shape(32, 0, "even", "group_norm", 8, 1.0)
    trial = Trial(0, shape, rungs=(Rung(FULL, 2, judge.reference, 0.1, 1.0),))
    stages.notebook.save(trial, subject.model, subject.architecture)
    return trial, replace(stages.making, ground=replace(stages.ground, judge=judge))


def policy_of(finish: Finish) -> Policy:
    return Policy(finish.config, finish.ground, finish.notebook)


def test_it_is_trained_with_rounding_and_the_better_one_stays(trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, finish = trial
    asked = []
    fit = type(finish.subject).fit
    monkeypatch.setattr(
        type(finish.subject), "fit", lambda self, *given, **how: asked.append(how["qat"]) or fit(self, *given, **how)
    )
    finish(trial)
    assert asked == [True]
    (standing,) = read_standings(finish.notebook)["0"]
    (noted,) = finish.notebook.trials()
    exports = finish.notebook.exports("0")
    assert read_manifest(exports / str(standing.form)).file.exists()
    assert not exports.with_name("rounded").exists()
    assert noted.level == (ROUNDED if len(noted.rungs) == 2 else FULL)
    model, _ = finish.notebook.load(noted)
    assert type(model.conv1[0]).__name__ == "Conv2d"
    assert not policy_of(finish).wants_rounding(noted, ()), "once"


def test_what_is_hopeless_in_float_is_not_mended_in_int8(trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, finish = trial
    asked: list[bool] = []
    monkeypatch.setattr("fettle.search.whole._mix", lambda *_: asked.append(True))
    finish(replace(trial, rungs=(replace(trial.rungs[0], score=0.5),)))
    assert not asked
    finish(trial)
    assert asked


def test_what_holds_is_left_alone(trial) -> None:
    trial, finish = trial
    standing = replace(finish.ground.whole[0], score=finish.ground.judge.floor, kept=())
    assert not policy_of(finish).wants_rounding(trial, [standing])
    assert policy_of(finish).wants_rounding(trial, [replace(standing, kept=("conv1",))])
    quick = {str(standing.form): standing.ms / 1.1}
    assert not policy_of(finish).wants_rounding(
        replace(trial, latencies=quick), [replace(standing, kept=("conv1",))]
    ), "what stayed in float costs next to nothing"
    other = replace(standing, form=Form("openvino", "float32"), ms=standing.ms / 3)
    slow = replace(trial, latencies={str(standing.form): standing.ms / 2})
    assert policy_of(finish).wants_rounding(slow, [replace(standing, kept=("conv1",))])
    assert not policy_of(finish).wants_rounding(slow, [replace(standing, kept=("conv1",)), other]), (
        "another form is faster than INT8 can be"
    )
    assert not policy_of(finish).wants_rounding(replace(trial, rungs=()), [replace(standing, kept=("conv1",))]), (
        "hopeless in float"
    )


def test_good_and_fast_is_better_than_accurate(trial) -> None:
    _, finish = trial
    floor, standing = finish.ground.judge.floor, finish.ground.whole[0]
    fast, slow = (replace(standing, ms=ms, score=floor) for ms in (1.0, 2.0))
    poor, poorer = (replace(standing, ms=0.5, score=floor - lost) for lost in (0.1, 0.2))
    worth = [policy_of(finish).worth([each]) for each in (poorer, poor, slow, fast)]
    assert worth == sorted(worth)
