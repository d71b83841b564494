"""How those who vote are trained: a detector on whole pictures, a classifier by cosines with a margin."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fettle.data.dataset import Dataset
from fettle.export.manifest import Export
from fettle.models import Architecture
from fettle.models.registry import build_model
from fettle.models.voter import BestBox
from fettle.runtimes import open_engine
from fettle.spec import DistilConfig, TrainConfig
from fettle.train.classification import Classification, classification_loss
from fettle.train.exported_teacher import ExportedTeacher
from fettle.train.regularize import Distillation
from fettle.train.trainers import find_trainer
from fettle.train.whole_images import with_whole_boxes

CLASSES = ("left", "middle", "right")
OPTIONS = {"backbone": "resnet10t"}


def config(**settings: Any) -> TrainConfig:
    base = {"preset": "plain", "batch_size": 16, "augment": [], "precision": "float32", "workers": 0, "trackers": []}
    return TrainConfig.model_validate({**base, **settings})


def test_every_picture_is_one_box(dataset: Dataset) -> None:
    whole = with_whole_boxes(dataset)
    train = whole.subset("train")
    assert whole.task == "detect"
    assert len(train.boxes.xyxy) == len(train) == len(dataset.subset("train"))
    np.testing.assert_array_equal(train.boxes.labels, dataset.subset("train").labels)
    np.testing.assert_array_equal(np.unique(train.boxes.xyxy, axis=0), [[0, 0, 32, 32]])


def test_a_detector_learns_to_vote(dataset: Dataset, tmp_path: Path) -> None:
    architecture = Architecture("classify", "yolov5_resnet", CLASSES, 32, {**OPTIONS, "width": 32})
    torch.manual_seed(0)
    network = build_model(architecture)
    settings = config(preset="yolov5-small", epochs=25, lr=2e-3, ema=0.9, loss={"classification": 2.0})
    result = find_trainer(architecture)(network, architecture, dataset, settings, folder=tmp_path / "run")
    assert isinstance(result.model, BestBox)
    assert not result.model.training
    test = dataset.subset("test")
    pixels = torch.from_numpy(test.images.copy()).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (architecture.mean, architecture.std))
    with torch.inference_mode():
        right = (result.model((pixels - mean) / std).argmax(1).numpy() == test.labels).mean()
    assert right > 0.6  # chance is a third


def test_cosines_are_trained_with_the_margin() -> None:
    torch.manual_seed(0)
    network = build_model(Architecture("classify", "arcface", CLASSES, 32, {**OPTIONS, "dimensions": 16})).eval()
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    criterion = classification_loss(config(label_smoothing=0.0), np.ones(3))
    without, with_margin = (
        Classification(criterion, 3, mixup=0.0, margin=margin, distillation=None).loss(network, images, labels)[0]
        for margin in (0.0, 0.5)
    )
    torch.testing.assert_close(without, nn.functional.cross_entropy(network(images), labels))
    assert with_margin > without + 5  # cos(90° + 29°) of a scale of 30


def test_an_exported_teacher_sees_what_the_student_sees(linear_export: Any) -> None:
    export: Export = linear_export(seed=1)
    student = Architecture("classify", "any", export.classes, 8, {}, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (student.mean, student.std))
    normalized = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std
    teacher = ExportedTeacher(export.file, "onnxruntime", student, digest="sha256:1")
    with open_engine("onnxruntime", export.file) as engine:
        expected = engine(images)[0]
    np.testing.assert_allclose(teacher(normalized).softmax(1).numpy(), expected, atol=1e-5)
    taught = Distillation(teacher, DistilConfig(weight=1.0, temperature=1.0))
    logits = torch.from_numpy(expected).log()
    assert taught(torch.tensor(9.0), normalized, logits).item() == pytest.approx(0, abs=1e-5)


def test_another_teacher_is_another_run(linear_export: Any) -> None:
    export = linear_export(seed=1)
    student = Architecture("classify", "any", export.classes, 8)
    states = [
        ExportedTeacher(export.file, "onnxruntime", student, digest=digest).state_dict()
        for digest in ("sha:1", "sha:2")
    ]
    assert not torch.equal(states[0]["identity"], states[1]["identity"])
