"""Several processes train one network: what one process would have made of the same batches."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fettle.data.dataset import open_dataset
from fettle.errors import SpecError, TrainError
from fettle.models.files import load_model
from fettle.spec import FinetuneConfig, ModelConfig, TrainConfig
from fettle.steps.finetune import finetune
from fettle.steps.train import train
from fettle.train.files import BEST, LAST
from fettle.train.images import Images
from fettle.train.result import HISTORY, TIMING
from fettle.train.team import Team, alone, processes
from fettle.train.trainer import make_trainer

from . import together

SCRIPT = Path(together.__file__)
# Nothing that a process draws for itself, and no batch norm: one process makes the same of the same batches.
PLAIN: dict[str, Any] = {
    "preset": "plain", "epochs": 3, "batch_size": 16, "lr": 2e-3, "mixup": 0, "precision": "float32", "workers": 0,
    "augment": [{"HorizontalFlip": {"p": 0.5}}], "balance": {"loss": 0.5, "sampling": 0}, "ema": 0.9, "patience": 0,
}  # fmt: skip
NETWORK, WITH_NORMS = "test_convnext", "test_resnet"


def torchrun(count: int, *arguments: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", str(SCRIPT),
        *arguments,
    ]  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def fit_in(count: int, dataset: Path, folder: Path, *, family: str = NETWORK, **config: Any) -> list[list[Any]]:
    """Return what each process wrote down."""
    process = torchrun(count, str(dataset), str(folder), family, json.dumps({**PLAIN, **config}))
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    return seen_by(count, folder)


def fit_alone(dataset: Path, folder: Path, *, family: str = NETWORK, **config: Any) -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Images, "__getitem__", Images.__getitem__)  # restored
        together.main(dataset, folder, family=family, config={**PLAIN, **config})
    return seen_by(1, folder)[0]


def seen_by(count: int, folder: Path) -> list[list[Any]]:
    files = [folder / f"seen-{rank}.jsonl" for rank in range(count)]
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def rows(seen: list[Any]) -> list[Mapping[str, float]]:
    return [each["row"] for each in seen if "row" in each]


def batches(seen: list[Any]) -> list[list[int]]:
    return [each["batch"] for each in seen if "batch" in each]


@pytest.fixture(scope="module")
def one(dataset_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return fit_alone(dataset_path, tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def folder_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(dataset_path: Path, folder_of_two: Path) -> list[list[Any]]:
    return fit_in(2, dataset_path, folder_of_two)


def test_every_image_is_seen_once_an_epoch_in_the_batches_of_one_process(
    one: list[Any], two: list[list[Any]], dataset_path: Path
) -> None:
    shared = [sorted([*left, *right]) for left, right in zip(*map(batches, two), strict=True)]
    assert shared == [sorted(batch) for batch in batches(one)]
    images, steps = len(open_dataset(dataset_path).subset("train")), len(shared) // PLAIN["epochs"]
    for epoch in range(PLAIN["epochs"]):
        assert sorted(np.concatenate(shared[epoch * steps : (epoch + 1) * steps]).tolist()) == list(range(images))


def test_all_processes_have_the_same_history_which_is_that_of_one(one: list[Any], two: list[list[Any]]) -> None:
    first, second = map(rows, two)
    assert first == second
    assert len(first) == PLAIN["epochs"]
    for row, alone_ in zip(first, rows(one), strict=True):
        assert row == pytest.approx(alone_, rel=1e-3, abs=1e-4)


def test_one_process_writes_the_files(two: list[list[Any]], folder_of_two: Path) -> None:
    folder = folder_of_two / "run"
    history = [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]
    assert history == rows(two[0])
    assert len((folder / TIMING).read_text().splitlines()) == PLAIN["epochs"]
    assert len(list((folder / "log/tensorboard").glob("events*"))) == 1
    assert (folder / BEST).exists()


def test_what_batch_norms_saw_is_agreed_and_they_stop_early_together(dataset_path: Path, tmp_path: Path) -> None:
    first, second = map(rows, fit_in(2, dataset_path, tmp_path, family=WITH_NORMS, epochs=40, patience=2, ema=0))
    assert first == second
    assert 3 <= len(first) < 40


def test_detectors_are_scored_over_all_processes(scenes_path: Path, tmp_path: Path) -> None:
    config = {
        "preset": "yolov5", "epochs": 1, "lr": 1e-9, "mosaic": 0, "balance": {"loss": 0, "sampling": 0}, "ema": 0,
        "family": "yolov5_resnet", "augment": [],
    }  # fmt: skip
    for name in ("alone", "two"):
        (tmp_path / name).mkdir()
    (alone_,) = rows(fit_alone(scenes_path, tmp_path / "alone", **config))
    (first,), (second,) = map(rows, fit_in(2, scenes_path, tmp_path / "two", **config))
    assert first == second
    for name in ("map50", "map50_95", "val_loss"):
        assert first[name] == pytest.approx(alone_[name], rel=0.05, abs=5e-3)


def test_sigterm_to_one_is_obeyed_by_all_and_the_same_call_goes_on(
    two: list[list[Any]], dataset_path: Path, tmp_path: Path
) -> None:
    process = torchrun(2, str(dataset_path), str(tmp_path), NETWORK, json.dumps(PLAIN))
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / LAST).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(seen_by(2, tmp_path)[1][0]["pid"], signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert said.count("Run the same command again to go on") == 2, said
    done = len(rows(seen_by(2, tmp_path)[0]))
    assert 1 <= done <= 2
    resumed = fit_in(2, dataset_path, tmp_path)
    assert rows(resumed[0]) == rows(resumed[1])
    assert len(rows(resumed[0])) == PLAIN["epochs"]
    for row, uninterrupted in zip(rows(resumed[0]), rows(two[0]), strict=True):
        assert row == pytest.approx(uninterrupted, rel=1e-5, abs=1e-6)


def options(**changes: Any) -> TrainConfig:
    return TrainConfig(**{**PLAIN, "epochs": 1, "trainer": {"devices": 2}, **changes})


MODEL = ModelConfig(family=WITH_NORMS, image_size=32)


def test_a_step_starts_its_processes_and_one_artifact_comes(dataset_path: Path, tmp_path: Path) -> None:
    made = train(dataset_path, tmp_path / "model", model=MODEL, train=options())
    assert made.card.config["train"]["trainer"] == {"devices": 2}
    assert [each.name for each in tmp_path.iterdir()] == ["model"], "work is removed"
    tuned = finetune(
        made.path, dataset_path, tmp_path / "tuned", config=FinetuneConfig(epochs=1), train=options(),
        parent=made.path,
    )  # fmt: skip
    assert set(tuned.card.parents) == {"model", "dataset", "teacher"}
    load_model(tuned.path)
    assert "OMP_NUM_THREADS" not in os.environ or os.environ["OMP_NUM_THREADS"] == "1"


def test_they_diverge_together_in_one_sentence(dataset_path: Path, tmp_path: Path) -> None:
    process = torchrun(2, str(dataset_path), str(tmp_path), WITH_NORMS, json.dumps(PLAIN), "broken")
    said, _ = process.communicate(timeout=400)
    assert said.count("DivergedError: Training diverged: the loss is nan in epoch 1, step 1") == 2, said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer": {"devices": 2, "strategy": "fsdp"}}, r"`train.trainer.strategy` must be one of auto, ddp"),
        ({"trainer": {"num_nodes": 2}}, r"`train.trainer.num_nodes` is set by Fettle"),
        ({"trainer": {"sync_batchnorm": True}}, r"`train.trainer.sync_batchnorm` is set by Fettle"),
    ],
)
def test_what_lightning_may_not_be_told_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_trainer(options(**changes), tmp_path, [], precision="float32", team=Team(0, 2, 2))


def test_devices_are_a_number() -> None:
    with pytest.raises(SpecError, match=r"`train.trainer.devices` must be a number or auto"):
        processes(options(trainer={"devices": [0, 1]}))


@pytest.mark.parametrize("size", [15, 2])
def test_a_batch_that_does_not_split_is_refused(dataset_path: Path, size: int) -> None:
    message = rf"`train.batch_size` is {size}, which 2 processes share: set it to a multiple of 2, and at least 4"
    with pytest.raises(SpecError, match=message):
        Team(0, 2, 2).check(open_dataset(dataset_path), options(batch_size=size))


def test_a_trainer_of_one_process_refuses_more(scenes_path: Path, tmp_path: Path) -> None:
    model = ModelConfig(family="yolov8", image_size=32)
    with pytest.raises(SpecError, match=r"yolov8 trains in one process, on one device, not in 2"):
        train(scenes_path, tmp_path / "model", model=model, train=TrainConfig(preset="yolov8"), processes=2)


def test_too_few_images_are_refused(dataset_path: Path) -> None:
    with pytest.raises(TrainError, match=r"val images are too few for 16 processes"):
        Team(0, 16, 16).check(open_dataset(dataset_path), TrainConfig(batch_size=32))


def test_the_devices_of_the_spec_beat_those_of_the_pod() -> None:
    assert processes(TrainConfig(), default=4) == 4
    assert processes(TrainConfig(trainer={"devices": 3, "accelerator": "cpu"}), default=4) == 3
    assert processes(TrainConfig(trainer={"devices": "auto", "accelerator": "cpu"})) == 1
    assert processes(alone(TrainConfig(trainer={"devices": 3, "strategy": "ddp"}))) == 1
