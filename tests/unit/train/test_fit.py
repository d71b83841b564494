"""What fit gives, and what it refuses."""

import copy
import errno
import json
import logging
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fettle.data.dataset import Dataset
from fettle.errors import FettleError, SpecError, TrainError
from fettle.models.architecture import Architecture
from fettle.models.registry import build_model
from fettle.spec import DistilConfig, TrainConfig
from fettle.train import files, precision
from fettle.train.files import BEST, LAST, load, write_atomic
from fettle.train.fit import FitResult, fit
from fettle.train.precision import choose_precision

SETTINGS: dict[str, Any] = {"preset": "plain", "epochs": 3, "batch_size": 16, "augment": [], "precision": "float32"}


def run(dataset: Dataset, folder: Path, *, teacher: Any = None, distil: Any = None, **settings: Any) -> FitResult:
    architecture = Architecture("classify", "test_resnet", dataset.classes, dataset.image_size)
    torch.manual_seed(0)
    config = TrainConfig.model_validate({**SETTINGS, **settings})
    return fit(build_model(architecture), architecture, dataset, config, folder=folder, teacher=teacher, distil=distil)


@pytest.fixture(scope="module")
def learnt(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[FitResult, Path]:
    folder = tmp_path_factory.mktemp("learnt")
    return run(dataset, folder, epochs=6, lr=5e-3, batch_size=8), folder


def test_it_learns_and_returns_the_best_epoch(dataset: Dataset, learnt: tuple[FitResult, Path]) -> None:
    result, _ = learnt
    best = max(result.history, key=lambda row: (row["macro_f1"], -row["val_loss"]))
    assert result.best == best
    assert best["accuracy"] > 0.8
    val = dataset.subset("val")
    mean, std = (255 * torch.tensor(x) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images = ((torch.from_numpy(np.array(val.images)).float() - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        logits = result.model(images)
    assert (logits.argmax(1).numpy() == val.labels).mean() == pytest.approx(best["accuracy"])
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(val.labels)).item()
    assert loss == pytest.approx(best["val_loss"], rel=1e-4)


def test_history_has_what_the_report_shows_and_no_clock(learnt: tuple[FitResult, Path]) -> None:
    result, folder = learnt
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert rows == [dict(row) for row in result.history]
    assert set(rows[0]) == {
        "epoch", "train_loss", "val_loss", "accuracy", "precision", "recall", "macro_f1", "auroc", "lr",
        "gradient_norm", "train_accuracy", "gap",
    }  # fmt: skip
    assert all(row["gap"] == pytest.approx(row["train_accuracy"] - row["accuracy"]) for row in rows)
    assert all(row["gradient_norm"] > 0 for row in rows)
    timing = [json.loads(line) for line in (folder / "log" / "timing.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in timing] == [row["epoch"] for row in rows]
    assert all(row["seconds"] > 0 and row["images_per_second"] > 0 for row in timing)
    assert list((folder / "log" / "tensorboard").glob("events.out.tfevents*"))


def test_nothing_is_written_elsewhere_and_nothing_chatters(
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    caplog.set_level(logging.INFO, logger="fettle")
    run(dataset, tmp_path / "run", epochs=2)
    assert not list((tmp_path / "cwd").iterdir())
    assert capfd.readouterr() == ("", "")
    assert [str(w.message) for w in recwarn if "lightning" in str(w.filename) or "worker" in str(w.message)] == []
    assert [record.name for record in caplog.records] == ["fettle"] * 2, "one line an epoch"


def test_it_stops_early_and_keeps_the_best(dataset: Dataset, tmp_path: Path) -> None:
    result = run(dataset, tmp_path, epochs=20, patience=2, lr=1e-8, monitor="accuracy", schedule="constant")
    assert result.history[-1]["epoch"] == len(result.history) == result.best["epoch"] + 2


def test_the_last_epoch_may_be_kept_instead_of_the_best(dataset: Dataset, tmp_path: Path) -> None:
    result = run(dataset, tmp_path, epochs=3, monitor="epoch", patience=1)
    assert result.best == result.history[-1]
    assert result.best["epoch"] == 3, "the last is always the best: patience has no end"
    final = load_file(tmp_path / "final.safetensors")
    for name, value in result.model.state_dict().items():
        torch.testing.assert_close(value, final[name])


def test_a_loss_that_is_not_finite_ends_the_run(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"loss is (nan|inf) in epoch \d, step \d+, at learning rate 10.*train\.lr"):
        run(dataset, tmp_path, optimizer="sgd", lr=10, schedule="constant", epochs=30, weight_decay=1e6)


def test_distilling_pulls_towards_the_teacher(dataset: Dataset, learnt: tuple[FitResult, Path], tmp_path: Path) -> None:
    teacher = copy.deepcopy(learnt[0].model)
    with torch.no_grad():  # one that takes each class for the other: what labels teach leads away from it
        for values in teacher.fc.parameters():
            values.copy_(values.flip(0))
    settings = {"lr": 5e-3, "batch_size": 8, "mixup": 0.2, "monitor": "epoch"}
    alone = run(dataset, tmp_path / "alone", **settings)
    taught = run(dataset, tmp_path / "taught", **settings, teacher=teacher, distil=DistilConfig(weight=0.9))
    images = (torch.from_numpy(np.array(dataset.subset("test").images)).permute(0, 3, 1, 2) / 255 - 0.45) / 0.225

    def distance(result: FitResult) -> float:
        with torch.inference_mode():
            return nn.functional.mse_loss(result.model(images).softmax(1), teacher(images).softmax(1)).item()

    assert distance(taught) < 0.5 * distance(alone)
    assert not any("teacher" in name for name in load(tmp_path / "taught" / LAST)["state_dict"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"monitor": "f1"}, r"`train.monitor` must be one of macro_f1, .*got 'f1'"),
        (
            {"trainer": {"device": 2}},
            r"`train.trainer.device` is no argument.*did you mean devices",
        ),
        ({"trainer": {"max_epochs": 2}}, r"`train.trainer.max_epochs` is set by Fettle"),
        ({"trainer": {"accelerator": "abacus"}}, r"`train.trainer` .*abacus.* does not suit Lightning"),
        ({"trackers": ["wandb"]}, r"names wandb, which is not installed: pip install 'fettle\[trackers\]'"),
        ({"precision": "fp16", "trainer": {"accelerator": "cpu"}}, r"`train.precision: fp16` needs a GPU"),
        ({"augment": [{"HorizontalFlop": {}}]}, r"HorizontalFlip"),
        ({"options": {"degrees": 5.0}}, r"`train.options` .*degrees.* are for yolov8's own trainer"),
    ],
)
def test_what_does_not_suit_is_refused(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr("fettle.train.trackers.find_spec", lambda name: None if name == "wandb" else True)
    with pytest.raises(SpecError, match=message):
        run(dataset, tmp_path, **settings)


def test_a_teacher_needs_distil(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="needs a teacher"):
        run(dataset, tmp_path, distil=DistilConfig())


def test_trainer_passes_through(dataset: Dataset, tmp_path: Path) -> None:
    result = run(dataset, tmp_path, epochs=1, trainer={"limit_train_batches": 1, "accelerator": "cpu"})
    assert load(tmp_path / LAST)["global_step"] == 1
    assert len(result.history) == 1


def test_a_full_disk_leaves_the_older_checkpoint(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    write, calls = files.write_atomic, []

    def fill(path: Path, content: Any) -> None:
        def stop(stream: IO[bytes]) -> None:
            content(stream)
            raise full

        calls.append(path.name)
        write(path, stop if calls.count(LAST) == 2 else content)

    monkeypatch.setattr(files, "write_atomic", fill)
    with pytest.raises(TrainError, match=r"could not be written \(.*No space left.*free some space and run again"):
        run(dataset, tmp_path)
    assert load(tmp_path / LAST)["epoch"] == 0
    assert not list(tmp_path.rglob("*.partial"))
    monkeypatch.setattr(files, "write_atomic", write)
    assert len(run(dataset, tmp_path).history) == 3


def test_a_really_full_device_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / ".x.partial").symlink_to("/dev/full")
    with pytest.raises(TrainError, match="No space left on device"):
        write_atomic(tmp_path / "x", lambda stream: torch.save({"x": torch.zeros(10_000)}, stream))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", [LAST, BEST])
def test_a_damaged_checkpoint_is_refused(dataset: Dataset, tmp_path: Path, name: str) -> None:
    run(dataset, tmp_path, epochs=1)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(FettleError, match=f"{name} cannot be read"):
        run(dataset, tmp_path, epochs=1)


class Malice:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("owned"),))


def test_no_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Malice()}, tmp_path / LAST)
    with pytest.raises(TrainError, match="cannot be read"):
        load(tmp_path / LAST)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("seconds", "native", "chosen"),
    [
        ((2.0, 1.0), True, "bf16"),
        ((1.0, 2.0), True, "float32"),
        ((1.0, 1.0), True, "float32"),
        ((2.0, 1.0), False, "float32"),
    ],
)
def test_auto_precision_takes_the_faster(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, float], native: bool, chosen: str
) -> None:
    monkeypatch.setattr(precision, "_has_bf16", lambda device: native)
    monkeypatch.setattr(precision, "_time_steps", lambda *args: seconds)
    cpu = torch.device("cpu")
    assert choose_precision("auto", nn.Identity(), image_size=32, device=cpu) == chosen
    assert choose_precision("bf16", nn.Identity(), image_size=32, device=cpu) == "bf16"


def test_the_probe_times_the_network_and_leaves_it_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    times = precision._time_steps(model, 16, torch.device("cpu"))
    assert all(time > 0 for time in times)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_resumed_run_keeps_its_precision(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fettle.train.fit.choose_precision", lambda *args, **kwargs: "bf16")
    first = run(dataset, tmp_path, epochs=1, precision="auto")
    monkeypatch.setattr("fettle.train.fit.choose_precision", lambda *args, **kwargs: pytest.fail("chosen again"))
    again = run(dataset, tmp_path, epochs=1, precision="auto")
    assert first.precision == again.precision == "bf16"
