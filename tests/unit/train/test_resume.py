"""Whatever interrupts training, the next call ends with the weights of an uninterrupted run."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fettle.data.dataset import Dataset
from fettle.errors import TrainError
from fettle.models.architecture import Architecture
from fettle.models.registry import build_model
from fettle.spec import TrainConfig
from fettle.train.files import LAST
from fettle.train.fit import FitResult, fit
from fettle.train.module import Fitter
from fettle.train.runs import digest_weights

# Everything that draws random numbers or keeps state is on.
SETTINGS: dict[str, Any] = {
    "preset": "defect", "epochs": 3, "batch_size": 16, "augment": [{"HorizontalFlip": {"p": 0.5}}], "mixup": 0.3,
    "precision": "float32", "workers": 0, "monitor": "accuracy",
}  # fmt: skip
NETWORK = ("test_resnet", {"drop_rate": 0.2, "drop_path_rate": 0.1})


def run(dataset: Dataset, folder: Path, **kwargs: Any) -> FitResult:
    architecture = Architecture("classify", NETWORK[0], dataset.classes, dataset.image_size, NETWORK[1])
    torch.manual_seed(0)
    return fit(build_model(architecture), architecture, dataset, TrainConfig(**SETTINGS), folder=folder, **kwargs)


@pytest.fixture(scope="module")
def uninterrupted(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return run(dataset, tmp_path_factory.mktemp("uninterrupted"))


def test_sigkill_between_epochs_changes_nothing(
    dataset: Dataset, dataset_path: Path, uninterrupted: FitResult, tmp_path: Path
) -> None:
    script = f"""
        import importlib.util, os, signal, torch
        from pathlib import Path
        torch.set_num_threads({torch.get_num_threads()})  # as here: sums depend on how they are split
        from fettle.data.dataset import open_dataset
        spec = importlib.util.spec_from_file_location("test_resume", {str(__file__)!r})
        this = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(this)
        def kill(row):
            if row["epoch"] == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        this.run(open_dataset(Path({str(dataset_path)!r})), Path({str(tmp_path)!r}), on_epoch=kill)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    epochs: list[int] = []
    resumed = run(dataset, tmp_path, on_epoch=lambda row: epochs.append(row["epoch"]))
    assert epochs == [3], "epochs 1 and 2 must not be trained again"
    assert resumed.history == uninterrupted.history
    assert digest_weights(resumed.model) == digest_weights(uninterrupted.model)


@pytest.mark.parametrize("stop_after", [1, 8, 10])
def test_sigterm_within_an_epoch_saves_that_very_step(
    dataset: Dataset, uninterrupted: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    step = Fitter.training_step

    def terminated(self: Fitter, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == stop_after - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Fitter, "training_step", terminated)
    with pytest.raises(TrainError, match=r"interrupted.*Run the same command again"):
        run(dataset, tmp_path)
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == stop_after
    monkeypatch.setattr(Fitter, "training_step", step)
    resumed = run(dataset, tmp_path)
    assert resumed.history == uninterrupted.history
    assert digest_weights(resumed.model) == digest_weights(uninterrupted.model)


def test_a_finished_run_is_not_trained_again(dataset: Dataset, tmp_path: Path) -> None:
    first = run(dataset, tmp_path)
    again = run(dataset, tmp_path, on_epoch=lambda row: pytest.fail("trained again"))
    assert again.history == first.history
    assert digest_weights(again.model) == digest_weights(first.model)


def test_other_settings_start_afresh(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(dataset, tmp_path)
    monkeypatch.setitem(SETTINGS, "lr", 1e-4)
    other = run(dataset, tmp_path)
    assert len(other.history) == len(first.history) == 3
    assert other.history[0] != first.history[0]


def test_workers_do_not_change_the_result(
    dataset: Dataset, uninterrupted: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "workers", 2)
    assert digest_weights(run(dataset, tmp_path).model) == digest_weights(uninterrupted.model)


def test_digest_sees_every_tensor() -> None:
    model = nn.BatchNorm2d(4)
    before = digest_weights(model)
    model.running_mean += 1
    assert digest_weights(model) != before
