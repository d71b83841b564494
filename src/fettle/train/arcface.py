"""Additive angular margin (ArcFace, Deng et al. 2019, arXiv:1801.07698)."""

import math

import torch
from torch.nn import functional as F

EPS = 1e-6  # the gradient of arccos is infinite at 1


def arcface_logits(cosines: torch.Tensor, labels: torch.Tensor, *, margin: float, scale: float) -> torch.Tensor:
    """Return ``scale * cos(θ + margin)`` for an image's own identity, ``scale * cos θ`` for the others.

    Beyond θ = π - margin, where the cosine would rise again, it goes on falling as ``cos θ - margin sin margin``.

    Args:
        cosines: (N, C) cosine of the angle θ between embedding and prototype.
        labels: (N,) int64.
        margin: In radians.
        scale: Radius of the sphere.
    """
    own = cosines.gather(1, labels[:, None])
    angle = own.clamp(-1 + EPS, 1 - EPS).arccos()
    harder = torch.where(angle <= math.pi - margin, (angle + margin).cos(), own - margin * math.sin(margin))
    return scale * cosines.scatter(1, labels[:, None], harder)


def arcface_loss(
    cosines: torch.Tensor, labels: torch.Tensor, *, margin: float, scale: float, smoothing: float = 0.0
) -> torch.Tensor:
    """Return the mean cross-entropy of :func:`arcface_logits`, with label smoothing."""
    logits = arcface_logits(cosines, labels, margin=margin, scale=scale)
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)
