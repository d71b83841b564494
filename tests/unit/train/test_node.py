"""Two machines train one network: what a TrainJob starts on each, as two processes with torchrun's variables."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fettle.card import Artifact
from fettle.errors import SpecError, TrainError
from fettle.models.files import load_model
from fettle.spec import ModelConfig, TrainConfig
from fettle.storage import Store, open_store
from fettle.train.launch import as_text, raised
from fettle.train.node import DONE, ERROR, Job, outcome
from fettle.train.result import DivergedError, InterruptionError

MACHINES = 2
MODEL = ModelConfig(family="test_resnet", image_size=32)
TRAIN = TrainConfig(preset="plain", epochs=2, batch_size=16, precision="float32", workers=0)


@pytest.fixture
def store(minio_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    for name, value in minio_environ.items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://models/{tmp_path.name}")


def start(store: Store, dataset: Path, **changes: Any) -> list[subprocess.Popen[str]]:
    store.upload(dataset, "dataset")
    settings = {"model": MODEL.to_json(), "train": {**TRAIN.to_json(), **changes}}
    work = {"root": f"{store.url}/work", "name": "train-1"}
    Job("train", settings, {"dataset": f"{store.url}/dataset"}, work).write(store)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {
        "PET_NNODES": str(MACHINES), "PET_NPROC_PER_NODE": "1", "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "fettle.train.node", store.url]
    return [
        subprocess.Popen(
            command, env={**os.environ, **place, "PET_NODE_RANK": str(rank)}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(MACHINES)
    ]  # fmt: skip


def test_the_machines_make_one_model(store: Store, dataset_path: Path, tmp_path: Path) -> None:
    assert not outcome(store, tmp_path / "model")
    machines = start(store, dataset_path)
    said = [machine.communicate(timeout=400)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert "epoch 2/2" in said[0]
    assert "epoch" not in said[1], "the first machine speaks for all"
    assert outcome(store, tmp_path / "model")
    made = Artifact.open(tmp_path / "model", kind="model")
    assert made.card.parents["dataset"]["digest"] == Artifact.open(dataset_path).card.digest
    assert made.card.summary["epochs"] == TRAIN.epochs
    load_model(made.path)


def test_what_ends_them_is_known_to_the_step(store: Store, dataset_path: Path, tmp_path: Path) -> None:
    machines = start(store, dataset_path, batch_size=15)
    said = [machine.communicate(timeout=400)[0] for machine in machines]
    assert SpecError.exit_code in [machine.returncode for machine in machines], said
    with pytest.raises(SpecError, match=r"`train.batch_size` is 15, which 2 processes share"):
        outcome(store, tmp_path / "model")
    assert store.exists(ERROR)
    assert not store.exists(DONE)


def test_machines_that_are_started_again_go_on(store: Store, dataset_path: Path, tmp_path: Path) -> None:
    epochs = 30
    machines = start(store, dataset_path, epochs=epochs, patience=0)
    deadline = time.monotonic() + 300
    while not store.exists("work/train-1/index.json") or b"last.ckpt" not in store.read("work/train-1/index.json"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    machines[1].terminate()  # its node is drained
    said = [machine.communicate(timeout=100)[0] for machine in machines]
    assert InterruptionError.exit_code == machines[0].returncode == machines[1].returncode, said
    assert not outcome(store, tmp_path / "model"), "no error is told: who is started again goes on"
    machines = start(store, dataset_path, epochs=epochs, patience=0)
    said = [machine.communicate(timeout=400)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert "epoch 1/30" not in said[0]
    assert outcome(store, tmp_path / "model")
    assert Artifact.open(tmp_path / "model").card.summary["epochs"] == epochs
    assert not store.list("work"), "what is done is not kept"


def test_an_error_keeps_its_kind() -> None:
    for error in (SpecError("a"), TrainError("b"), DivergedError("c")):
        again = raised(as_text(error))
        assert (type(again), str(again)) == (type(error), str(error))
    assert str(raised(json.dumps({"kind": "Unheard", "message": "d"}))) == "d"
