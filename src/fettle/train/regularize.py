"""MixUp and distillation: what changes a batch or its loss."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from fettle.spec.train import DistilConfig
from fettle.train.attention import AttentionTransfer

Compare = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def mixup(images: torch.Tensor, targets: torch.Tensor, alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Blend every image and target with another one of the batch (Zhang et al. 2018, arXiv:1710.09412).

    Args:
        images: (N, 3, H, W) float.
        targets: (N, C) float distributions.
        alpha: Of the Beta distribution that the share is drawn from, once a batch.
    """
    share = torch.distributions.Beta(alpha, alpha).sample().to(images.device)
    partner = torch.randperm(len(images), device=images.device)
    return torch.lerp(images[partner], images, share), torch.lerp(targets[partner], targets, share)


class Distillation:
    """Learn from a teacher's logits beside the labels (Hinton, Vinyals, Dean 2015, arXiv:1503.02531).

    The teacher sees the same images as the student, mixed or not. It is no submodule of anything: it is neither
    trained nor saved.

    Args:
        teacher: Network with the student's outputs.
        config: How much is learnt from it.
        attention: Tells how far apart the two look, where ``config`` asks for it.
    """

    def __init__(self, teacher: nn.Module, config: DistilConfig, attention: AttentionTransfer | None = None) -> None:
        self.teacher = teacher.eval().to(memory_format=torch.channels_last)
        self.config, self.attention = config, attention

    def __call__(
        self, loss: torch.Tensor, images: torch.Tensor, outputs: torch.Tensor, *, compare: Compare | None = None
    ) -> torch.Tensor:
        """Blend ``loss`` with the distillation loss of a batch.

        Args:
            loss: Of the labels, a scalar.
            images: (N, 3, H, W), as the student saw them.
            outputs: The student's.
            compare: (outputs, those of the teacher) -> loss; by default :func:`soft_loss`, of logits.
        """
        with torch.no_grad():
            taught = self.teacher.to(images.device)(images)
        distance = compare or partial(soft_loss, temperature=self.config.temperature)
        blended = torch.lerp(loss, distance(outputs, taught), self.config.weight)
        return blended if self.attention is None else blended + self.config.attention * self.attention()

    def close(self) -> None:
        """Leave student and teacher as they were, unwatched."""
        if self.attention is not None:
            self.attention.close()


def soft_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 KL(teacher || student) of softened distributions, mean over images.

    T^2 keeps the gradient as large as at temperature 1.
    """
    return temperature**2 * F.kl_div(
        F.log_softmax(logits.float() / temperature, dim=1),
        F.log_softmax(teacher.float() / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
