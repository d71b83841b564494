"""Workers on several machines that share a study by a store, with a formula in place of a network."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from fettle.spec import Range, TuneConfig
from fettle.storage import Store, open_store
from fettle.tune.claims import Named
from fettle.tune.journal import StoreJournal
from fettle.tune.results import best, overrides, rebuild, rows, summarize
from fettle.tune.search import WORKER, Report, Train, search, share

SPACE = {"train.lr": Range(low=1e-4, high=1e-2, log=True), "train.batch_size": Range(low=8, high=32, step=8)}
DEFAULTS = {"train.lr": 1e-3, "train.batch_size": 24}
Place = tuple[str, dict[str, str]]  # URL, and the variables that reach it


def bowl(params: dict[str, Any], folder: Path, report: Report) -> float:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "finished").open("a") as stream:
        stream.write(f"{folder.name}\n")
    value = abs(params.get("train.lr", 1e-3) - 4e-3)
    for epoch in (1, 2, 3):
        report(epoch, value * (4 - epoch))
    return value


def work(store: Store, worker: str, folder: Path, *, trials: int = 8, train: Train = bowl) -> optuna.Study:
    config = TuneConfig(trials=trials, workers=2, space=SPACE)
    return share(config, DEFAULTS, train, StoreJournal(store, "study/journal"), Named(worker), folder=folder)


def finished(*folders: Path) -> Counter[str]:
    return Counter(name for folder in folders if folder.exists() for name in (folder / "finished").read_text().split())


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return str(tmp_path / "store"), {}
    return f"s3://models/{tmp_path.name}", request.getfixturevalue("minio_environ")


WORKER_PROCESS = """
import importlib.util, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("test_share", {file!r})
this = importlib.util.module_from_spec(spec)
spec.loader.exec_module(this)

def slow(params, folder, report):
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / f"began-{{folder.name}}").touch()
    time.sleep({seconds})
    return this.bowl(params, folder, report)

this.work(this.open_store({url!r}), {name!r}, Path({folder!r}), train=slow)
"""


def process(place: Place, name: str, folder: Path, *, seconds: float) -> subprocess.Popen[bytes]:
    url, environ = place
    code = WORKER_PROCESS.format(file=__file__, url=url, name=name, folder=str(folder), seconds=seconds)
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **environ})


def test_workers_share_the_trials_and_none_is_run_twice(place: Place, tmp_path: Path) -> None:
    folders = [tmp_path / "tune-1", tmp_path / "tune-2"]
    workers = [process(place, folder.name, folder, seconds=0.5) for folder in folders]
    assert [each.wait(timeout=300) for each in workers] == [0, 0]
    assert finished(*folders) == {f"trial-{number}": 1 for number in range(8)}
    study = work(open_store(place[0], environ=place[1]), "tune-1", tmp_path, train=_never)
    assert study.trials[0].params == DEFAULTS
    shares = [rows(study, **{WORKER: folder.name}) for folder in folders]
    assert sum(map(len, shares)) == 8
    assert all(shares), "both had work"


def test_a_killed_workers_trial_is_taken_over_by_its_next_attempt_alone(place: Place, tmp_path: Path) -> None:
    first = process(place, "tune-1", tmp_path / "first", seconds=60)
    while not (tmp_path / "first" / "began-trial-0").exists():
        assert first.poll() is None
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    store = open_store(place[0], environ=place[1])
    work(store, "tune-2", tmp_path / "other", trials=4)
    assert finished(tmp_path / "other") == {f"trial-{number}": 1 for number in (1, 2, 3)}, "it does not wait for 0"
    study = work(store, "tune-1", tmp_path / "second", trials=4)
    assert finished(tmp_path / "second") == {"trial-0": 1}
    assert study.trials[0].params == DEFAULTS
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}


def test_there_are_never_more_trials_than_asked_for(store: Store, tmp_path: Path) -> None:
    """However many workers begin the last one at the same moment."""
    barrier = threading.Barrier(4)

    def together(params: dict[str, Any], folder: Path, report: Report) -> float:
        barrier.wait(timeout=60)
        return 1.0

    threads = [
        threading.Thread(target=work, args=(store, f"tune-{n}", tmp_path / str(n)), kwargs={"train": together})
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    study = work(store, "tune-0", tmp_path, train=_never)
    assert [row["number"] for row in rows(study)] == list(range(8))


def test_an_attempt_that_is_not_dead_yet_does_no_harm(store: Store, tmp_path: Path) -> None:
    def overtaken(params: dict[str, Any], folder: Path, report: Report) -> float:
        work(store, "tune-1", tmp_path / "second", trials=2)  # the orchestrator took this one for dead
        return bowl(params, folder, report)

    study = work(store, "tune-1", tmp_path / "first", trials=2, train=overtaken)
    assert finished(tmp_path / "second") == {"trial-0": 1, "trial-1": 1}
    assert [trial.value for trial in study.trials] == [pytest.approx(3e-3), study.trials[1].value]


def test_one_worker_of_a_pipeline_finds_what_a_search_in_a_folder_finds(store: Store, tmp_path: Path) -> None:
    shared = work(store, "tune-1", tmp_path / "shared")
    (tmp_path / "alone").mkdir()
    alone = search(TuneConfig(trials=8, space=SPACE), DEFAULTS, bowl, folder=tmp_path / "alone")
    assert [trial.params for trial in shared.trials] == [trial.params for trial in alone.trials]


def test_a_study_is_rebuilt_from_what_its_workers_tell(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    study = work(store, "tune-1", tmp_path / "work", trials=9)
    told = rows(study)
    again = rebuild(TuneConfig(trials=9, space=SPACE), [*told[1::2], *told[::2], told[3]])
    assert summarize(again, metric="loss") == summarize(study, metric="loss")
    assert (best(again).number, overrides(again)) == (best(study).number, overrides(study))


def _never(*_: Any) -> float:
    pytest.fail("ran again")
