"""ArcFace's loss: its formula, its gradient, and pytorch-metric-learning's."""

import math

import pytest
import torch
from torch.nn import functional as F

from fettle.train.arcface import arcface_logits, arcface_loss

MARGIN, SCALE = 0.5, 30.0


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    embeddings = F.normalize(torch.randn(16, 8, dtype=torch.float64))
    prototypes = F.normalize(torch.randn(5, 8, dtype=torch.float64))
    return embeddings, prototypes, torch.arange(16) % 5


def test_formula() -> None:
    embeddings, prototypes, labels = batch()
    cosines = embeddings @ prototypes.T
    logits = arcface_logits(cosines, F.one_hot(labels, 5), margin=MARGIN, scale=SCALE)
    for row, label in enumerate(labels.tolist()):
        angle = math.acos(cosines[row, label])
        own = math.cos(angle + MARGIN) if angle <= math.pi - MARGIN else math.cos(angle) - MARGIN * math.sin(MARGIN)
        expected = SCALE * cosines[row].clone()
        expected[label] = SCALE * own
        torch.testing.assert_close(logits[row], expected)


def test_gradient_is_that_of_the_formula() -> None:
    embeddings, prototypes, labels = batch(1)
    cosines = (embeddings @ prototypes.T).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: arcface_loss(x, labels, margin=MARGIN, scale=4.0), cosines)
    far = torch.tensor([[-0.99, 0.2]], dtype=torch.float64, requires_grad=True)  # beyond pi - margin
    assert torch.autograd.gradcheck(lambda x: arcface_loss(x, torch.tensor([0]), margin=MARGIN, scale=4.0), far)


def test_it_falls_with_the_angle_all_the_way() -> None:
    angles = torch.linspace(0.01, math.pi - 0.01, 200, dtype=torch.float64)
    cosines = torch.stack([angles.cos(), torch.zeros_like(angles)], 1)
    own = arcface_logits(cosines, torch.tensor([[1, 0]]), margin=MARGIN, scale=1.0)[:, 0]
    assert (own.diff() < 0).all()


def test_at_the_very_prototype_the_gradient_is_finite() -> None:
    cosines = torch.tensor([[1.0, -1.0]], requires_grad=True)
    arcface_loss(cosines, torch.tensor([0]), margin=MARGIN, scale=SCALE).backward()
    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()


def test_agrees_with_pytorch_metric_learning() -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason="pytorch-metric-learning is not installed")
    embeddings, prototypes, labels = batch(2)
    theirs = losses.ArcFaceLoss(5, 8, margin=math.degrees(MARGIN), scale=SCALE)
    theirs.W = torch.nn.Parameter(prototypes.T.clone())
    mine, other = (embeddings.clone().requires_grad_() for _ in range(2))
    loss = arcface_loss(F.normalize(mine) @ prototypes.T, labels, margin=MARGIN, scale=SCALE)
    expected = theirs(other, labels)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(mine.grad, other.grad)
