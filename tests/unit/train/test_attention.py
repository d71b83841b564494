"""Attention transfer against its formula, between networks of different widths, and in a training."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fettle.data.dataset import Dataset
from fettle.errors import SpecError
from fettle.models.architecture import Architecture
from fettle.spec import DistilConfig, TrainConfig
from fettle.train.attention import AttentionTransfer, find_stages
from fettle.train.fit import fit

EXAMPLE = torch.zeros(1, 3, 32, 32)


class Net(nn.Module):
    def __init__(self, width: int, stride: int = 2) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, width, 3, stride, 1), nn.ReLU(inplace=True))
        self.two = nn.Sequential(nn.Conv2d(width, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(self.one(x)))


def unit(x: torch.Tensor) -> torch.Tensor:
    flat = x.square().mean(1).flatten(1)
    return flat / flat.norm(dim=1, keepdim=True)


def test_stages_are_the_ends_of_each_resolution() -> None:
    assert find_stages(Net(8), EXAMPLE) == ["one", "two"]


def test_it_is_the_distance_of_normed_maps() -> None:
    torch.manual_seed(0)
    student, teacher, x = Net(4), Net(8), torch.randn(2, 3, 32, 32)
    attention = AttentionTransfer(student, teacher, example_input=EXAMPLE)
    student(x), teacher(x)
    pairs = [(student.one(x), teacher.one(x)), (student.two(student.one(x)), teacher.two(teacher.one(x)))]
    student(x), teacher(x)
    expected = sum((unit(a) - unit(b)).square().mean() for a, b in pairs)
    assert attention().item() == pytest.approx(expected.item(), rel=1e-5)
    attention().backward()
    assert student.one[0].weight.grad.abs().sum() > 0
    assert teacher.one[0].weight.grad is None


def test_one_that_looks_at_less_is_compared_at_its_own_size() -> None:
    student, teacher, x = Net(4, stride=4), Net(8), torch.randn(2, 3, 32, 32)
    attention = AttentionTransfer(student, teacher, example_input=EXAMPLE)
    student(x), teacher(x)
    assert torch.isfinite(attention())


def test_strangers_are_refused() -> None:
    with pytest.raises(SpecError, match=r"distil\.attention"):
        AttentionTransfer(nn.Sequential(nn.Conv2d(3, 3, 3)), Net(8), example_input=EXAMPLE)


def test_a_student_learns_to_look_where_its_teacher_does(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    architecture = Architecture("classify", "small", dataset.classes, 32)
    settings = {"preset": "plain", "batch_size": 16, "augment": [], "precision": "float32", "lr": 3e-3}
    teacher = fit(
        Net(16),
        architecture,
        dataset,
        TrainConfig.model_validate({**settings, "epochs": 4}),
        folder=tmp_path / "teacher",
    ).model
    images = torch.rand(8, 3, 32, 32)

    def distance(weight: float) -> float:
        torch.manual_seed(1)
        config = TrainConfig.model_validate({**settings, "epochs": 3})
        student = fit(
            Net(4), architecture, dataset, config, folder=tmp_path / f"student-{weight}", teacher=teacher,
            distil=DistilConfig(attention=weight),
        ).model  # fmt: skip
        assert not any(module._forward_hooks for net in (student, teacher) for module in net.modules())
        attention = AttentionTransfer(student, teacher, example_input=EXAMPLE)
        with torch.no_grad():
            student(images), teacher(images)
            attention.close()
            return attention().item()

    assert distance(1000.0) < 0.7 * distance(0.0)
