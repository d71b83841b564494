"""A small detector learns a toy, and every key of its training does what it says."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fettle.data.boxes import Boxes
from fettle.data.dataset import Dataset
from fettle.errors import SpecError, TrainError
from fettle.models.architecture import Architecture
from fettle.models.registry import build_model, measured
from fettle.spec import DistilConfig, TrainConfig
from fettle.train.detection import suppress
from fettle.train.files import LAST, load
from fettle.train.fit import FitResult, fit

OPTIONS = {"backbone": "test_resnet", "width": 16}
SETTINGS: dict[str, Any] = {
    "preset": "yolov5", "epochs": 1, "batch_size": 16, "lr": 1e-2, "backbone_lr": 1.0, "ema": 0.9, "mosaic": 0.0,
    "augment": [], "precision": "float32", "workers": 0,
}  # fmt: skip


def run(dataset: Dataset, folder: Path, *, teacher: Any = None, distil: Any = None, **settings: Any) -> FitResult:
    bare = Architecture("detect", "yolov5_resnet", dataset.classes, dataset.image_size, OPTIONS)
    architecture = measured(bare, dataset.subset("train"))
    torch.manual_seed(0)
    config = TrainConfig.model_validate({**SETTINGS, **settings})
    return fit(build_model(architecture), architecture, dataset, config, folder=folder, teacher=teacher, distil=distil)


@pytest.fixture(scope="module")
def learnt(scenes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[FitResult, Path]:
    folder = tmp_path_factory.mktemp("learnt")
    return run(scenes, folder, epochs=60, batch_size=8), folder


def test_it_learns_where_and_what(scenes: Dataset, learnt: tuple[FitResult, Path]) -> None:
    result, _ = learnt
    assert result.best["map50"] > 0.9
    test = scenes.subset("test")
    mean, std = (255 * torch.tensor(x) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images = ((torch.from_numpy(np.array(test.images)).float() - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        boxes, scores, labels = suppress(*result.model(images))
    right = total = 0
    for index in range(len(images)):
        xyxy, classes = test.boxes.of(index)
        total += len(classes)
        for box, label in zip(xyxy, classes, strict=True):
            mine = (labels[index] == label) & (scores[index] > 0.25)
            right += bool((np.abs(boxes[index][mine].numpy() - box).max(1, initial=0) < 4).any() if mine.any() else 0)
    assert right / total > 0.85


def test_history_has_what_the_trackers_shall_show(learnt: tuple[FitResult, Path]) -> None:
    result, folder = learnt
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert rows == [dict(row) for row in result.history]
    assert set(rows[0]) == {
        "epoch", "train_loss", "val_loss", "map50", "map50_95", "precision", "recall", "box_loss", "objectness_loss",
        "classification_loss", "iou", "lr", "gradient_norm",
    }  # fmt: skip
    for row in rows:
        parts = 0.1 * row["box_loss"] + 1.5 * row["objectness_loss"] + 0.8 * row["classification_loss"]
        assert row["train_loss"] == pytest.approx(parts, rel=1e-4)
    assert result.best == max(result.history, key=lambda row: (row["map50_95"], -row["val_loss"]))


def test_one_line_an_epoch_with_the_scores_of_the_task(
    scenes: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="fettle")
    run(scenes, tmp_path)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "mAP50 " in line
    assert "accuracy" not in line


def test_the_backbone_learns_slower(scenes: Dataset, tmp_path: Path) -> None:
    result = run(scenes, tmp_path, backbone_lr=0.1)
    assert result.history[0]["lr_backbone"] == pytest.approx(0.1 * result.history[0]["lr"])


def test_resuming_changes_nothing_average_included(scenes: Dataset, tmp_path: Path) -> None:
    settings = {
        "epochs": 3, "mosaic": 0.5, "mixup": 0.3, "ema": 0.99, "augment": [{"HorizontalFlip": {"p": 0.5}}]
    }  # fmt: skip
    whole = run(scenes, tmp_path / "whole", **settings)

    class StopError(Exception):
        pass

    def stop(row: Any) -> None:
        if row["epoch"] == 2:
            raise StopError

    bare = Architecture("detect", "yolov5_resnet", scenes.classes, scenes.image_size, OPTIONS)
    architecture = measured(bare, scenes.subset("train"))
    torch.manual_seed(0)
    config = TrainConfig.model_validate({**SETTINGS, **settings})
    with pytest.raises(StopError):
        fit(build_model(architecture), architecture, scenes, config, folder=tmp_path / "cut", on_epoch=stop)
    assert any(name.startswith("average.") for name in load(tmp_path / "cut" / LAST)["state_dict"])
    resumed = run(scenes, tmp_path / "cut", **settings)
    assert resumed.history == whole.history
    for one, other in zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_without_an_average_the_weights_themselves_are_kept(scenes: Dataset, tmp_path: Path) -> None:
    run(scenes, tmp_path, ema=0.0)
    assert not any(name.startswith("average.") for name in load(tmp_path / LAST)["state_dict"])


@pytest.mark.parametrize("preset", ["yolov5", "yolov5-small", "yolov5-focal", "yolov5-smooth"])
def test_every_preset_trains(scenes: Dataset, tmp_path: Path, preset: str) -> None:
    config = TrainConfig.model_validate({"preset": preset, "epochs": 1, "precision": "float32", "workers": 0})
    assert config.clip_norm == 10
    assert (config.loss.box, config.loss.objectness, config.loss.classification) == (0.1, 1.5, 0.8)
    settings = {name: getattr(config, name) for name in ("augment", "mosaic", "label_smoothing", "loss", "ema")}
    result = run(scenes, tmp_path, preset=preset, **settings)
    assert np.isfinite(result.history[0]["train_loss"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_data_set_without_boxes_is_refused(scenes: Dataset, tmp_path: Path, split: str) -> None:
    empty = replace(scenes, boxes=_without(scenes, split))
    with pytest.raises(TrainError, match=f"No {split} image of the data set has a box"):
        run(empty, tmp_path)


def _without(dataset: Dataset, split: str) -> Boxes:
    parts = [
        Boxes.none(1) if record.split == split else dataset.boxes.take(np.array([index]))
        for index, record in enumerate(dataset.records)
    ]
    return Boxes.join(parts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"monitor": "macro_f1"}, r"`train.monitor` must be one of map50_95, map50.*got 'macro_f1'"),
        ({"teacher": nn.Identity(), "distil": DistilConfig()}, r"`distil` is for classifiers"),
        ({"augment": [{"HorizontalFlop": {}}]}, "HorizontalFlip"),
    ],
)
def test_what_does_not_suit_is_refused(scenes: Dataset, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        run(scenes, tmp_path, **settings)


def test_suppression_keeps_the_best_of_an_image_and_leaves_others_alone() -> None:
    box, far = [0.0, 0, 10, 10], [20.0, 20, 30, 30]
    boxes = torch.tensor([[box, [1.0, 0, 11, 10], far], [box, box, far]])
    scores = torch.tensor([[[0.5, 0.1], [0.1, 0.9], [0.2, 0.3]], [[0.5, 0.4], [0.0, 0.0005], [0.0, 0.0005]]])
    found, score, label = suppress(boxes, scores)
    kept = [[(found[i, j, 0].item(), score[i, j].item(), label[i, j].item()) for j in range(3) if label[i, j] >= 0]
            for i in range(2)]  # fmt: skip
    assert kept[0] == [(1.0, pytest.approx(0.9), 1), (20.0, pytest.approx(0.3), 1)], "agnostic: one of the two stays"
    assert kept[1] == [(0.0, pytest.approx(0.5), 0)]


def test_a_network_that_comes_in_eval_mode_is_trained_all_the_same(scenes: Dataset, tmp_path: Path) -> None:
    bare = Architecture("detect", "yolov5_resnet", scenes.classes, scenes.image_size, OPTIONS)
    architecture = measured(bare, scenes.subset("train"))
    model = build_model(architecture).eval()
    before = {name: value.clone() for name, value in model.state_dict().items() if name.endswith("running_mean")}
    config = TrainConfig.model_validate({**SETTINGS, "ema": 0.0})
    result = fit(model, architecture, scenes, config, folder=tmp_path)
    assert len(result.history) == 1
    after = result.model.state_dict()
    assert all(not torch.equal(value, after[name]) for name, value in before.items())
