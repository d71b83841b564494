"""A small network learns to tell toy people apart, those too whom it never saw."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fettle.data.dataset import Dataset, open_dataset
from fettle.models.architecture import Architecture
from fettle.models.registry import build_model
from fettle.spec import DatasetConfig, DistilConfig, TrainConfig
from fettle.steps.ingest import ingest
from fettle.train.embedding import embedding_distance
from fettle.train.fit import FitResult, fit

SETTINGS: dict[str, Any] = {
    "preset": "arcface", "epochs": 8, "batch_size": 16, "lr": 3e-3, "warmup_epochs": 0, "augment": [], "workers": 0,
    "precision": "float32",
}  # fmt: skip
OPTIONS = {"backbone": "test_resnet", "dimensions": 16}


def make_people(folder: Path, *, people: int = 24, pictures: int = 8, size: int = 32) -> Path:
    """A person is two colours, left and right; pictures differ in noise and light."""
    generator = np.random.default_rng(0)
    for person in range(people):
        (folder / f"p{person:02d}").mkdir(parents=True)
        left, right = generator.integers(30, 200, (2, 3))
        for picture in range(pictures):
            image = np.empty((size, size, 3))
            image[:, : size // 2], image[:, size // 2 :] = left, right
            image += generator.normal(0, 12, image.shape) + generator.normal(0, 10)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"p{person:02d}/{picture}.png")
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("people")
    config = DatasetConfig.model_validate({"split": {"test": 0.25, "val": 0.25, "calib": 0.1}})
    return open_dataset(
        ingest(make_people(root / "source"), root / "dataset", dataset=config, image_size=32, task="embed").path
    )


def run(data: Dataset, folder: Path, *, options: dict[str, Any] | None = None, **settings: Any) -> FitResult:
    architecture = Architecture("embed", "arcface", data.classes, data.image_size, {**OPTIONS, **(options or {})})
    torch.manual_seed(0)
    extra = {key: settings.pop(key) for key in ("teacher", "distil") if key in settings}
    config = TrainConfig.model_validate({**SETTINGS, **settings})
    return fit(build_model(architecture), architecture, data, config, folder=folder, **extra)


@pytest.fixture(scope="module")
def learnt(people: Dataset, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return run(people, tmp_path_factory.mktemp("learnt"))


def test_it_learns_to_tell_strangers_apart(learnt: FitResult) -> None:
    first, best = learnt.history[0], learnt.best
    assert best["rank1"] > 0.8
    assert best["map_at_r"] > first["map_at_r"]
    assert learnt.history[-1]["train_loss"] < first["train_loss"]


def test_embeddings_have_length_one_and_prototypes_of_strangers_do_not_move(people: Dataset, learnt: FitResult) -> None:
    with torch.inference_mode():
        embeddings = learnt.model(torch.randn(3, 3, 32, 32))
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))
    torch.manual_seed(0)
    fresh = build_model(Architecture("embed", "arcface", people.classes, 32, OPTIONS))
    held = np.setdiff1d(np.arange(len(people.classes)), people.subset("train").labels)
    moved = (learnt.model.prototypes.weight - fresh.prototypes.weight).abs().amax(1)
    # Weight decay alone, 1e-4 a step, touches them.
    assert moved[held].max() < 1e-3 < moved[people.subset("train").labels].min()


def test_frozen_parts_stay(people: Dataset, tmp_path: Path) -> None:
    result = run(people, tmp_path, options={"frozen": 2}, epochs=1)
    torch.manual_seed(0)
    fresh = build_model(Architecture("embed", "arcface", people.classes, 32, OPTIONS))
    pairs = zip(result.model.backbone.children(), fresh.backbone.children(), strict=True)
    same = [
        all(torch.equal(a, b) for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True))
        for mine, theirs in pairs
        if mine.state_dict()
    ]
    assert same[:2] == [True, True]
    assert False in same[2:]


def test_a_student_comes_near_its_teacher(people: Dataset, learnt: FitResult, tmp_path: Path) -> None:
    turn = torch.nn.Linear(learnt.model.prototypes.in_features, learnt.model.prototypes.in_features, bias=False)
    torch.nn.init.orthogonal_(turn.weight)  # nobody would find it alone
    teacher = torch.nn.Sequential(learnt.model, turn)
    taught, alone = (
        run(people, tmp_path / name, epochs=3, teacher=teacher, distil=DistilConfig(weight=weight))
        for name, weight in (("taught", 1.0), ("alone", 0.0))
    )
    images = torch.from_numpy(np.array(people.subset("test").images)).permute(0, 3, 1, 2).float() / 128 - 1
    with torch.inference_mode():
        wanted = teacher(images)
        near, far = (embedding_distance(result.model(images), wanted) for result in (taught, alone))
    assert near < far


def test_distance_is_nothing_to_itself_and_rotation_is_felt_by_the_cosine_alone() -> None:
    points = torch.nn.functional.normalize(torch.randn(8, 4))
    assert embedding_distance(points, points) == pytest.approx(0, abs=1e-6)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4))
    turned = points @ rotation
    cosine = 1 - (points * turned).sum(1).mean()
    assert embedding_distance(points, turned) == pytest.approx(float(cosine), abs=1e-5)
