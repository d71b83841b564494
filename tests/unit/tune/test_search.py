"""The search, with a formula in place of a network."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from fettle.errors import TrainError
from fettle.spec import Range, TuneConfig
from fettle.tune.claims import Claims
from fettle.tune.results import best, overrides, summarize
from fettle.tune.search import Report, search

SPACE = {"train.lr": Range(low=1e-4, high=1e-2, log=True), "train.batch_size": Range(low=8, high=32, step=8)}
DEFAULTS = {"train.lr": 1e-3, "train.batch_size": 24}


def bowl(params: dict[str, Any], folder: Path, report: Report) -> float:
    """Best at lr .004; the spec as it stands is at .001."""
    with (folder.parent / "finished").open("a") as stream:
        stream.write(f"{folder.name}\n")
    value = abs(params.get("train.lr", 1e-3) - 4e-3)
    for epoch in (1, 2, 3):
        report(epoch, value * (4 - epoch))
    return value


def run(folder: Path, trials: int, train: Any = bowl, **kwargs: Any) -> optuna.Study:
    folder.mkdir(exist_ok=True)
    return search(TuneConfig(trials=trials, space=SPACE, **kwargs), DEFAULTS, train, folder=folder)


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def test_trial_0_is_the_spec_and_the_best_is_never_below_it(tmp_path: Path) -> None:
    study = run(tmp_path, 12)
    assert study.trials[0].params == DEFAULTS
    assert len(study.trials) == 12
    found = summarize(study, metric="loss")
    assert found["default"]["value"] == pytest.approx(3e-3)
    assert found["best"]["value"] < found["default"]["value"]
    assert overrides(study) == found["best"]["params"]
    assert found["best"]["value"] == min(t["value"] for t in found["trials"] if t["state"] == "complete")
    assert found["importances"]["train.lr"] > found["importances"]["train.batch_size"]


def test_where_the_spec_is_best_nothing_is_overridden(tmp_path: Path) -> None:
    study = run(tmp_path, 4, lambda params, folder, report: 1.0 if params else 0.5)
    assert best(study).number == 0
    assert overrides(study) == {}


def test_a_draw_goes_to_the_spec(tmp_path: Path) -> None:
    assert overrides(run(tmp_path, 4, lambda params, folder, report: 1.0)) == {}


@pytest.mark.parametrize("metric", ["macro_f1", "map50_95", "map_at_r", "rank1"])
def test_metrics_that_grow_are_maximized(tmp_path: Path, metric: str) -> None:
    study = run(tmp_path, 5, lambda params, folder, report: params.get("train.lr", 0.0), metric=metric)
    assert best(study).value == max(trial.value for trial in study.trials)


def test_hopeless_trials_stop_but_never_the_default(tmp_path: Path) -> None:
    seen: dict[str, int] = Counter()

    def hopeless(params: dict[str, Any], folder: Path, report: Report) -> float:
        number = int(folder.name.split("-")[1])
        for epoch in range(1, 7):
            seen[folder.name] += 1
            report(epoch, 100.0 if number in (0, 8) else 1.0 / epoch)
        return 100.0 if number in (0, 8) else 0.2

    study = run(tmp_path, 9, hopeless)
    assert seen["trial-0"] == 6
    assert seen["trial-8"] < 6
    assert study.trials[8].state == optuna.trial.TrialState.PRUNED


def test_diverged_trials_are_passed_over(tmp_path: Path) -> None:
    study = run(tmp_path, 4, lambda params, folder, report: None if params else 2.0)
    assert [trial["state"] for trial in summarize(study, metric="loss")["trials"]] == ["complete"] + ["pruned"] * 3
    with pytest.raises(TrainError, match="Every trial of the search diverged"):
        summarize(run(tmp_path / "all", 2, lambda params, folder, report: None), metric="loss")


def test_a_finished_search_runs_nothing_and_more_trials_go_on(tmp_path: Path) -> None:
    first = params(run(tmp_path, 3))
    assert params(run(tmp_path, 3, lambda *args: pytest.fail("ran again"))) == first
    longer = params(run(tmp_path, 8))
    assert longer[:3] == first
    assert longer == params(run(tmp_path / "in-one-go", 8)), "an interruption must not change the search"


def test_no_trial_starts_after_the_timeout(tmp_path: Path) -> None:
    def slow(params: dict[str, Any], folder: Path, report: Report) -> float:
        time.sleep(0.2)
        return 1.0

    assert 1 <= len(run(tmp_path, 50, slow, timeout_minutes=0.5 / 60).trials) < 10


def test_an_error_leaves_the_trial_to_the_next_call(tmp_path: Path) -> None:
    def interrupted(params: dict[str, Any], folder: Path, report: Report) -> float:
        if params:
            raise TrainError("interrupted")
        return bowl(params, folder, report)

    with pytest.raises(TrainError, match="interrupted"):
        run(tmp_path, 3, interrupted)
    study = run(tmp_path, 3)
    assert params(study) == params(run(tmp_path / "in-one-go", 3))


WORKER = """
    import importlib.util, sys, time
    from pathlib import Path
    spec = importlib.util.spec_from_file_location("test_search", {file!r})
    this = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(this)

    def slow(params, folder, report):
        (folder.parent / f"began-{{folder.name}}").touch()
        time.sleep({seconds})
        return this.bowl(params, folder, report)

    this.run(Path({folder!r}), {trials}, slow)
"""


def worker(folder: Path, *, trials: int, seconds: float) -> subprocess.Popen[bytes]:
    code = textwrap.dedent(WORKER).format(file=__file__, folder=str(folder), trials=trials, seconds=seconds)
    return subprocess.Popen([sys.executable, "-c", code])


def test_sigkill_loses_no_trial_and_runs_none_twice(tmp_path: Path) -> None:
    process = worker(tmp_path, trials=6, seconds=0.3)
    while not (tmp_path / "began-trial-3").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = (tmp_path / "finished").read_text().split()
    assert finished == ["trial-0", "trial-1", "trial-2"]
    study = run(tmp_path, 6)
    assert Counter((tmp_path / "finished").read_text().split()) == {f"trial-{number}": 1 for number in range(6)}
    assert params(study) == params(run(tmp_path / "in-one-go", 6)), "the killed trial keeps its number and parameters"


def test_workers_share_a_study(tmp_path: Path) -> None:
    workers = [worker(tmp_path, trials=8, seconds=0.5) for _ in range(2)]
    assert [process.wait(timeout=300) for process in workers] == [0, 0]
    study = run(tmp_path, 8, lambda *args: pytest.fail("all were run"))
    assert Counter((tmp_path / "finished").read_text().split()) == {f"trial-{number}": 1 for number in range(8)}
    assert all(trial.state.is_finished() for trial in study.trials)


def test_a_claim_ends_with_its_worker(tmp_path: Path) -> None:
    mine, other = Claims(tmp_path), Claims(tmp_path)
    assert mine.is_alive(mine.name)
    assert mine.is_alive(other.name)
    other.close()
    assert not mine.is_alive(other.name)
    assert not mine.is_alive("never-was")
