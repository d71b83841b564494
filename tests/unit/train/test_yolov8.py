"""Ultralytics' trainer on our images: what it sees, what it learns, what it leaves, and where it goes on."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fettle.data.dataset import Dataset, open_dataset
from fettle.errors import SpecError, TrainError
from fettle.models import Architecture, build_model
from fettle.spec import DatasetConfig, DistilConfig, TrainConfig
from fettle.steps.ingest import ingest
from fettle.train.result import HISTORY, DivergedError, FitResult
from fettle.train.rounding import RoundingConv2d, rounding
from fettle.train.runs import digest_weights
from fettle.train.yolov8 import fit
from fettle.train.yolov8.copy_paste import BoxCopyPaste
from fettle.train.yolov8.criterion import SmoothingAssigner
from fettle.train.yolov8.images import Images, train_loader, val_loader
from fettle.train.yolov8.settings import arguments

SIZE = 64
QUICK = {"preset": "yolov8", "epochs": 2, "batch_size": 16, "precision": "float32", "workers": 0}


@pytest.fixture(scope="module")
def path(scenes_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenes at 64 px: at 32 the coarsest scale has a single cell."""
    config = DatasetConfig(layout="yolo")
    out = tmp_path_factory.mktemp("scenes-64") / "dataset"
    return ingest(scenes_path.parent / "source", out, dataset=config, image_size=SIZE, task="detect").path


@pytest.fixture(scope="module")
def dataset(path: Path) -> Dataset:
    return open_dataset(path)


def make_model(dataset: Dataset) -> tuple[nn.Module, Architecture]:
    torch.manual_seed(0)
    architecture = Architecture("detect", "yolov8", dataset.classes, dataset.image_size, {}, (0, 0, 0), (1, 1, 1))
    return build_model(architecture), architecture


def run(dataset: Dataset, folder: Path, on_epoch: Callable[..., None] | None = None, **values: Any) -> FitResult:
    model, architecture = make_model(dataset)
    return fit(model, architecture, dataset, TrainConfig(**{**QUICK, **values}), folder=folder, on_epoch=on_epoch)


def hyp(**values: Any) -> Any:
    from ultralytics.cfg import get_cfg

    config = TrainConfig(**{**QUICK, **values})
    return get_cfg(overrides=arguments(config, image_size=SIZE, device="cpu", folder=Path("nowhere")))


def first_batches(dataset: Dataset, workers: int = 0) -> list[dict[str, Any]]:
    images = Images(dataset.subset("train"), hyp(), augment=True, classes=dataset.classes)
    loader = train_loader(images, batch_size=16, seed=0, workers=workers)
    return [batch for batch, _ in zip(loader, range(2), strict=False)]


def test_validation_sees_the_stored_pixels_and_boxes(dataset: Dataset) -> None:
    val = dataset.subset("val")
    tinted = replace(val, images=np.stack([val.images[..., 0], val.images[..., 1] // 2, val.images[..., 2] // 4], -1))
    loader = val_loader(Images(tinted, hyp(), augment=False, classes=dataset.classes), batch_size=len(val))
    (batch,) = loader
    np.testing.assert_array_equal(batch["img"].permute(0, 2, 3, 1), tinted.images, "red stays first")
    centre, extent = batch["bboxes"][:, :2] * SIZE, batch["bboxes"][:, 2:] * SIZE
    corners = torch.cat([centre - extent / 2, centre + extent / 2], 1)
    np.testing.assert_allclose(corners, val.boxes.xyxy, atol=1e-3)
    assert batch["cls"].flatten().tolist() == val.boxes.labels.tolist()
    assert batch["batch_idx"].tolist() == np.repeat(np.arange(len(val)), np.diff(val.boxes.starts)).tolist()


def test_the_same_images_come_with_any_number_of_workers(dataset: Dataset) -> None:
    alone, again, two = first_batches(dataset), first_batches(dataset), first_batches(dataset, workers=2)
    for one, *others in zip(alone, again, two, strict=True):
        for other in others:
            assert all(torch.equal(one[key], other[key]) for key in ("img", "bboxes", "cls", "batch_idx"))
    assert not torch.equal(alone[0]["img"], alone[1]["img"])


def labels_of(image: np.ndarray, boxes: list[list[float]]) -> dict[str, Any]:
    from ultralytics.utils.instance import Instances

    instances = Instances(np.array(boxes, np.float32), np.zeros((0, 1000, 2), np.float32), None, "xyxy", False)
    return {"img": image, "cls": np.arange(len(boxes), dtype=np.float32)[:, None], "instances": instances}


def test_copy_paste_mirrors_a_box_with_its_pixels() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[4:8, 1:5] = np.arange(4, dtype=np.uint8)[None, :, None] + 100
    out = BoxCopyPaste(1.0)(labels_of(image.copy(), [[1, 4, 5, 8]]))
    assert out["instances"].bboxes.tolist() == [[1, 4, 5, 8], [15, 4, 19, 8]]
    assert out["cls"].flatten().tolist() == [0, 0]
    np.testing.assert_array_equal(out["img"][4:8, 15:19], image[4:8, 1:5][:, ::-1])
    np.testing.assert_array_equal(out["img"][:, :15], image[:, :15])
    still = BoxCopyPaste(0.0)(labels_of(image.copy(), [[1, 4, 5, 8]]))
    assert len(still["instances"]) == 1
    middle = BoxCopyPaste(1.0)(labels_of(image.copy(), [[8, 4, 12, 8]]))
    assert len(middle["instances"]) == 1, "its mirror image lies on itself"


def test_label_smoothing_moves_mass_between_classes_only() -> None:
    scores = torch.zeros(1, 3, 4)
    scores[0, 1, 2] = 0.8  # anchor 1 holds an object of class 2

    class Assigner(nn.Module):
        def forward(self) -> tuple[torch.Tensor, ...]:
            return scores, scores, scores, scores > 0, scores

    _, _, smooth, _, _ = SmoothingAssigner(Assigner(), 0.1)()
    torch.testing.assert_close(smooth.sum(-1), scores.sum(-1))
    torch.testing.assert_close(smooth[0, 1], torch.tensor([0.02, 0.02, 0.74, 0.02]))


def test_the_preset_in_the_words_of_ultralytics() -> None:
    values = vars(hyp(epochs=50))
    expected = {
        "optimizer": "AdamW", "lr0": 0.002, "lrf": 0.1, "cos_lr": True, "warmup_epochs": 3, "degrees": 5.0,
        "translate": 0.15, "shear": 2.0, "perspective": 0.0003, "mixup": 0.1, "mosaic": 1.0, "copy_paste": 0.1,
        "close_mosaic": 10, "amp": False, "plots": False, "batch": 16, "nbs": 16,
    }  # fmt: skip
    assert {key: values[key] for key in expected} == expected
    assert hyp(epochs=5).close_mosaic == 1
    assert hyp(warmup_epochs=0, warmup_share=0.1, epochs=20).warmup_epochs == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"options": {"degree": 5}}, r"`train.options.degree` is unknown to Ultralytics: did you mean degrees\?"),
        ({"options": {"lr0": 1}}, "`train.options.lr0` is set by Fettle"),
        ({"options": {"degrees": "much"}}, "`train.options` .* refused by Ultralytics"),
        ({"schedule": "onecycle"}, "cosine or constant for yolov8, got 'onecycle'"),
        ({"augment": [{"HorizontalFlip": {}}]}, "`train.augment` has no effect on yolov8"),
        ({"balance": {"sampling": 0.5}}, "`train.balance.sampling` must be 0"),
        ({"backbone_lr": 0.1}, "`train.backbone_lr` must be 1"),
        ({"trainer": {"devices": 2}}, "one device"),
        ({"monitor": "accuracy"}, "`train.monitor` must be one of map50_95"),
        ({"precision": "fp16"}, "needs a GPU"),
    ],
)
def test_keys_without_effect_are_refused(
    values: dict[str, Any], message: str, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message):
        run(dataset, tmp_path / "run", **values)


def test_a_teacher_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    model, architecture = make_model(dataset)
    with pytest.raises(SpecError, match="learns from the boxes alone"):
        fit(model, architecture, dataset, TrainConfig(**QUICK), folder=tmp_path, teacher=model, distil=DistilConfig())


def test_it_learns_where_the_rectangles_are(dataset: Dataset, tmp_path: Path) -> None:
    result = run(
        dataset, tmp_path / "run", epochs=8, batch_size=8, lr=0.003, warmup_epochs=0.5, mosaic=0, mixup=0, options={}
    )
    assert result.best["map50"] > 0.4, "at least the class that most images have"
    assert result.history[-1]["train_loss"] < 0.8 * result.history[1]["train_loss"]
    assert not result.model.training
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [
        "best.safetensors", HISTORY, "last.ckpt", "log", "run.json",
    ]  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "run" / HISTORY).read_text().splitlines()]
    assert rows == [dict(row) for row in result.history]
    assert list(rows[0]) == [
        "epoch", "train_loss", "val_loss", "map50", "map50_95", "precision", "recall", "lr", "gradient_norm",
        "box_loss", "cls_loss", "dfl_loss",
    ]  # fmt: skip
    assert result.best["map50_95"] == max(row["map50_95"] for row in rows)


def test_bf16_trains_too(dataset: Dataset, tmp_path: Path) -> None:
    result = run(dataset, tmp_path / "run", precision="bf16", epochs=1)
    assert result.precision == "bf16"
    assert all(value.dtype == torch.float32 for value in result.model.parameters())


def test_it_learns_with_rounding_and_a_plain_network_is_left(dataset: Dataset, tmp_path: Path) -> None:
    quick = {"batch_size": 8, "lr": 0.003, "mosaic": 0, "mixup": 0, "options": {}}
    plain = run(dataset, tmp_path / "plain", epochs=6, warmup_epochs=0.5, **quick)
    network, (_, architecture) = plain.model, make_model(dataset)
    config = TrainConfig(**{**QUICK, **quick, "epochs": 2, "lr": 0.001, "warmup_epochs": 0})
    with rounding(network):
        assert {type(layer) for layer in network.modules() if isinstance(layer, nn.Conv2d)} == {RoundingConv2d}
        learnt = fit(network, architecture, dataset, config, folder=tmp_path / "rounded")
    assert {type(layer) for layer in learnt.model.modules() if isinstance(layer, nn.Conv2d)} == {nn.Conv2d}
    assert learnt.best["map50"] > plain.best["map50"] - 0.15, "as it answers with rounding"


KILLED = """
    import os, signal, socket, sys
    import torch

    connect = socket.socket.connect

    def refuse(*arguments, **_):
        raise OSError(f"the net was asked: {arguments}")

    def only_here(self, address):  # the processes of a loader talk to one another
        return connect(self, address) if self.family == socket.AF_UNIX else refuse(address)

    socket.getaddrinfo, socket.socket.connect = refuse, only_here
    torch.set_num_threads(1)
    from fettle.data.dataset import open_dataset
    from fettle.models import Architecture, build_model
    from fettle.spec import TrainConfig
    from fettle.train.yolov8 import fit

    data = open_dataset(__import__("pathlib").Path(sys.argv[1]))
    architecture = Architecture("detect", "yolov8", data.classes, data.image_size, {}, (0, 0, 0), (1, 1, 1))
    torch.manual_seed(0)
    model = build_model(architecture)
    config = TrainConfig(preset="yolov8", epochs=3, batch_size=16, precision="float32", workers=1)
    kill = lambda row: os.kill(os.getpid(), signal.SIGKILL) if row["epoch"] == 2 else None
    fit(model, architecture, data, config, folder=__import__("pathlib").Path(sys.argv[2]), on_epoch=kill)
"""


def test_killed_offline_it_goes_on_to_the_same_weights_and_leaves_nothing_elsewhere(
    path: Path, dataset: Dataset, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), path, tmp_path / "run"],
        env={**os.environ, "HOME": str(home)}, cwd=home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout == ""
    assert not [file for file in home.rglob("*") if file.is_file() and "matplotlib" not in str(file)]
    rows = (tmp_path / "run" / HISTORY).read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == [1, 2]
    resumed = run(dataset, tmp_path / "run", epochs=3)
    whole = run(dataset, tmp_path / "whole", epochs=3)
    assert len(resumed.history) == len(resumed.timing) == 3
    assert resumed.history == whole.history
    assert digest_weights(resumed.model) == digest_weights(whole.model)
    epochs: list[int] = []
    again = run(dataset, tmp_path / "run", epochs=3, on_epoch=lambda row: epochs.append(row["epoch"]))
    assert not epochs, "a run that is over is not trained on"
    assert digest_weights(again.model) == digest_weights(whole.model)


def test_sigterm_is_a_sentence_and_the_run_goes_on(dataset: Dataset, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainError, match="Run the same command again"):
        run(dataset, tmp_path / "run", on_epoch=lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(run(dataset, tmp_path / "run").history) == 2


def test_patience_ends_it(dataset: Dataset, tmp_path: Path) -> None:
    result = run(dataset, tmp_path / "run", epochs=9, patience=1, lr=1e-9, monitor="loss", warmup_epochs=0)
    assert len(result.history) < 9


def test_a_loss_that_is_not_finite_is_said(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"Training diverged: the loss is (nan|inf) in epoch 1.*`train.lr`"):
        run(dataset, tmp_path / "run", options={"box": float("inf")})


def test_images_without_any_box_train(dataset: Dataset, tmp_path: Path) -> None:
    empty = replace(dataset, boxes=dataset.boxes.none(len(dataset.images)))
    result = run(empty, tmp_path / "run", epochs=1)
    assert result.best["map50"] == 0
    assert result.best["box_loss"] == 0
