"""MixUp and distillation against their formulas."""

import numpy as np
import pytest
import torch
from torch import nn

from fettle.spec import DistilConfig
from fettle.train.regularize import Distillation, mixup, soft_loss


def test_mixup_blends_images_and_targets_by_one_share() -> None:
    torch.manual_seed(0)
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 2, 2)
    targets = torch.eye(5)
    mixed, blended = mixup(images, targets, alpha=0.4)
    assert torch.allclose(blended.sum(1), torch.ones(5))
    assert torch.allclose(mixed[:, 0, 0, 0], blended @ torch.arange(5.0)), "targets must say what was blended"
    shares = {round(blended[i, i].item(), 5) for i in range(5) if blended[i, i] < 1}
    assert len(shares) == 1


def test_mixup_share_follows_beta() -> None:
    torch.manual_seed(0)
    shares = []
    for _ in range(2000):
        _, blended = mixup(torch.zeros(2, 1, 1, 1), torch.eye(2), alpha=0.3)
        if blended[0, 0] < 1:
            shares.append(blended[0, 0].item())
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.3 + 1)), abs=0.02)  # variance of Beta(a, a)


def test_soft_loss_is_scaled_divergence() -> None:
    student, teacher, temperature = np.array([[1.0, 0.0, -1.0]]), np.array([[0.2, 2.0, 0.1]]), 3.0
    p, q = (np.exp(x / temperature) / np.exp(x / temperature).sum() for x in (teacher, student))
    expected = temperature**2 * (p * np.log(p / q)).sum()
    got = soft_loss(torch.tensor(student), torch.tensor(teacher), temperature).item()
    assert got == pytest.approx(expected, rel=1e-5)


def test_distillation_blends_and_leaves_the_teacher_alone() -> None:
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    before = teacher[1].weight.clone()
    images, logits = torch.randn(2, 3, 2, 2), torch.randn(2, 3, requires_grad=True)
    label_loss = torch.tensor(1.5)
    blended = Distillation(teacher, DistilConfig(weight=0.25, temperature=2.0))(label_loss, images, logits)
    assert blended.item() == pytest.approx(0.75 * 1.5 + 0.25 * soft_loss(logits, teacher(images), 2.0).item())
    blended.backward()
    assert logits.grad is not None
    assert teacher[1].weight.grad is None
    assert torch.equal(teacher[1].weight, before)


def test_a_student_that_agrees_has_no_distillation_loss() -> None:
    logits = torch.randn(4, 5)
    assert soft_loss(logits, logits, 4.0).item() == pytest.approx(0, abs=1e-6)
