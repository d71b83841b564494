"""Additive angular margin (ArcFace, Deng et al. 2019, arXiv:1801.07698)."""

import math

import torch
from torch.nn import functional as F

EPS = 1e-6  # the gradient of arccos is infinite at 1


def arcface_logits(cosines: torch.Tensor, targets: torch.Tensor, *, margin: float, scale: float) -> torch.Tensor:
    """Return ``scale * cos(θ + margin)`` for an image's own identity, ``scale * cos θ`` for the others.

    Beyond θ = π - margin, where the cosine would rise again, it goes on falling as ``cos θ - margin sin margin``. Where
    targets are mixed (MixUp), the angle to an identity grows by its share of the margin.

    Args:
        cosines: (N, C) cosine of the angle θ between embedding and prototype.
        targets: (N, C) in [0, 1]: 1 for the own identity.
        margin: In radians.
        scale: Radius of the sphere.
    """
    margins = margin * targets
    angles = cosines.clamp(-1 + EPS, 1 - EPS).arccos()
    harder = torch.where(angles <= math.pi - margins, (angles + margins).cos(), cosines - margins * margins.sin())
    return scale * torch.where(targets > 0, harder, cosines)


def arcface_loss(
    cosines: torch.Tensor, labels: torch.Tensor, *, margin: float, scale: float, smoothing: float = 0.0
) -> torch.Tensor:
    """Return the mean cross-entropy of :func:`arcface_logits`, with label smoothing; ``labels`` are (N,) int64."""
    targets = F.one_hot(labels, cosines.shape[1]).to(cosines.dtype)
    logits = arcface_logits(cosines, targets, margin=margin, scale=scale)
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)
