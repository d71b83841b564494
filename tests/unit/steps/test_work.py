"""Unfinished work in a store: another pod goes on where the one before was stopped."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fettle.card import read_card
from fettle.spec import ModelConfig, TrainConfig
from fettle.steps import run
from fettle.steps.train import train
from fettle.storage import Store, open_store
from fettle.storage.kept import INDEX

MODEL = {"family": "test_resnet", "image_size": 32}
TRAIN = {
    "preset": "plain", "epochs": 3, "batch_size": 8, "augment": [], "precision": "float32", "optimizer": "adamw",
    "workers": 0,
}  # fmt: skip
STEPS = 5  # an epoch
# A pod: its /tmp is gone with it. In epoch `slow` every step takes a while.
POD = """
    import sys, time, torch
    torch.set_num_threads(1)
    from fettle.steps import run
    from fettle.train.module import Fitter
    step = Fitter.training_step
    def slowly(self, batch, batch_idx):
        if self.current_epoch + 1 == {slow}:
            time.sleep({seconds})
        return step(self, batch, batch_idx)
    Fitter.training_step = slowly
    run("train", {out!r}, dataset={dataset!r}, model={model!r}, train={train!r})
"""
torch.set_num_threads(1)


@pytest.fixture(params=["file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What FETTLE_WORK is in the pods, which reach it."""
    found = f"file://{tmp_path / 'store'}"
    if request.param == "s3":
        for name, value in request.getfixturevalue("minio_environ").items():
            monkeypatch.setenv(name, value)
        found = f"s3://models/{tmp_path.name}"
    monkeypatch.setenv("FETTLE_WORK", found)
    return found


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    logger = logging.getLogger()
    before = logger.handlers[:], logger.level
    yield
    logger.handlers[:], level = before
    logger.setLevel(level)


@pytest.fixture(scope="module")
def uninterrupted(castings_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("uninterrupted") / "model"
    made = train(castings_dataset, out, model=ModelConfig(**MODEL), train=TrainConfig.model_validate(TRAIN))
    return made.card.digest


def pod(folder: Path, dataset: Path, *, slow: int, seconds: float) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir(parents=True)
    code = POD.format(
        out=str(folder / "model"), dataset=str(dataset), model=json.dumps(MODEL), train=json.dumps(TRAIN), slow=slow,
        seconds=seconds,
    )  # fmt: skip
    environ = {**os.environ, "TMPDIR": str(folder / "tmp")}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def epochs(store: Store) -> int:
    """Return how many epochs the store has."""
    index = next((key for key in store.list() if key.endswith(INDEX)), None)
    files: dict[str, str] = json.loads(store.read(index))["files"] if index else {}
    if index is None or not {"last.ckpt", "history.jsonl"} <= files.keys():
        return 0
    return len(store.read(index.replace(INDEX, files["history.jsonl"])).splitlines())


def goes_on(dataset: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the step again, on another machine; return the digest of what it made."""
    monkeypatch.setattr("fettle.storage.kept.tempfile.gettempdir", lambda: str(folder / "tmp"))
    out, *_ = run(
        "train", str(folder / "model"), dataset=str(dataset), model=json.dumps(MODEL), train=json.dumps(TRAIN)
    )
    return read_card(Path(out)).digest


def test_a_killed_training_goes_on_in_another_pod(
    root: str, castings_dataset: Path, tmp_path: Path, uninterrupted: str, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    store = open_store(root)
    first = pod(tmp_path / "first", castings_dataset, slow=3, seconds=60)
    wait_for(lambda: epochs(store) == 2, first)
    first.kill()
    first.wait()
    shutil.rmtree(tmp_path / "first")
    capfd.readouterr()
    assert goes_on(castings_dataset, tmp_path / "second", monkeypatch) == uninterrupted
    told = capfd.readouterr().err
    assert "Going on with what an earlier attempt left" in told
    assert [number for number in "123" if f"epoch {number}/3" in told] == ["3"], told
    assert store.list() == (), "removed after success"


def test_sigterm_saves_the_step_it_was_in(
    castings_dataset: Path, tmp_path: Path, uninterrupted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"file://{tmp_path / 'store'}"
    monkeypatch.setenv("FETTLE_WORK", root)
    store = open_store(root)
    first = pod(tmp_path / "first", castings_dataset, slow=2, seconds=0.5)
    wait_for(lambda: epochs(store) == 1, first)
    first.send_signal(signal.SIGTERM)
    _, told = first.communicate(timeout=60)
    assert first.returncode == 5, told
    shutil.rmtree(tmp_path / "first")
    (index,) = (key for key in store.list() if key.endswith(INDEX))
    last = index.replace(INDEX, json.loads(store.read(index))["files"]["last.ckpt"])
    store.download(last, tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] % STEPS, "within an epoch"
    assert goes_on(castings_dataset, tmp_path / "second", monkeypatch) == uninterrupted


def test_other_work_is_not_taken_up(castings_dataset: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FETTLE_WORK", root := f"file://{tmp_path / 'store'}")
    store, dataset = open_store(root), castings_dataset
    first = pod(tmp_path / "first", dataset, slow=2, seconds=60)
    wait_for(lambda: epochs(store) == 1, first)
    first.kill()
    first.wait()
    kept = store.list()
    monkeypatch.setitem(TRAIN, "epochs", 1)
    monkeypatch.setitem(TRAIN, "lr", 0.01)
    goes_on(dataset, tmp_path / "second", monkeypatch)
    assert store.list() == kept


def test_a_store_that_is_away_does_not_end_a_training(
    castings_dataset: Path, tmp_path: Path, uninterrupted: str, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("fettle.storage.kept.TRIES", 1)
    for name, value in {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a",
                        "AWS_SECRET_ACCESS_KEY": "b", "FETTLE_WORK": "s3://nowhere/work"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert goes_on(castings_dataset, tmp_path, monkeypatch) == uninterrupted
    assert capfd.readouterr().err.count("cannot be reached") == 1
