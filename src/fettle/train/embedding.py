"""How embeddings are learnt and scored."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchmetrics import Metric

from fettle.data.dataset import Dataset
from fettle.data.similarity import FALSE_ACCEPTS, Similarities
from fettle.spec.train import ArcFaceConfig, TrainConfig
from fettle.train.arcface import arcface_loss
from fettle.train.objectives import VAL, Direction
from fettle.train.regularize import Distillation


class VerificationScores(Metric):
    """Collects embeddings over batches and processes; how well they tell identities apart at the end."""

    full_state_update = False
    embeddings: list[torch.Tensor]
    labels: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("embeddings", "labels"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, embeddings: torch.Tensor, labels: torch.Tensor) -> None:
        self.embeddings.append(embeddings)
        self.labels.append(labels)

    def compute(self) -> dict[str, float]:
        embeddings, labels = (
            torch.cat([*cast(Any, values)] if isinstance(values, list) else [values]).cpu().numpy()
            for values in (self.embeddings, self.labels)
        )
        found = Similarities.of(embeddings.astype(np.float32), labels)
        verification = found.verification
        return {
            "val_loss": verification.equal_error_rate,
            "map_at_r": float(found.average_precision().mean()),
            "rank1": float(found.hits(1).mean()),
            "tar": verification.true_accepts(verification.threshold_at(FALSE_ACCEPTS)),
        }


class Embedding(nn.Module):
    """ArcFace's loss over the identities that are trained on; retrieval and verification among those of val.

    Nobody of val is known in training, so no cross-entropy can be had: the column ``val_loss`` is the equal error rate.
    """

    monitors: Mapping[str, Direction] = MappingProxyType(
        {"map_at_r": "max", "rank1": "max", "tar": "max", "loss": "min"}
    )
    parts: tuple[str, ...] = ()
    shown: Mapping[str, str] = MappingProxyType({"rank1": "rank-1 %.3f", "map_at_r": "MAP@R %.3f", "tar": "TAR %.3f"})
    probes = False

    def __init__(
        self, config: ArcFaceConfig, trained: torch.Tensor, *, smoothing: float, distillation: Distillation | None
    ) -> None:
        super().__init__()
        self.config, self.smoothing, self.distillation = config, smoothing, distillation
        self.trained: torch.Tensor
        self.register_buffer("trained", trained, persistent=False)
        self.metrics = VerificationScores()

    def loss(
        self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        embeddings = model(images)
        # Prototypes of identities that are held out have no image to be drawn to: they take no part.
        cosines = cast(Any, model).cosines(embeddings)[:, self.trained]
        loss = arcface_loss(
            cosines, torch.searchsorted(self.trained, labels), margin=self.config.margin, scale=self.config.scale,
            smoothing=self.smoothing,
        )  # fmt: skip
        if self.distillation is not None:
            loss = self.distillation(loss, images, embeddings, compare=embedding_distance)
        return loss, ()

    def reset(self) -> None:
        self.metrics.reset()

    def update(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, loader: int = VAL) -> None:
        assert loader == VAL
        self.metrics.update(model(images).float(), labels)

    def scores(self) -> dict[str, float]:
        return self.metrics.compute()


def embedding_distance(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """1 - cosine to the teacher's embedding, and the distance-wise relations of a batch (Park et al. 2019, RKD).

    Args:
        student: (N, D) of length 1.
        teacher: (N, D) of length 1.
    """
    cosine = 1 - (student * teacher).sum(dim=1).mean()
    return cosine + F.smooth_l1_loss(_relations(student), _relations(teacher))


def _relations(embeddings: torch.Tensor) -> torch.Tensor:
    """Distances of all pairs of a batch, in units of their mean."""
    distances = torch.pdist(embeddings)
    return distances / distances.mean().clamp(min=1e-9)


def make(dataset: Dataset, config: TrainConfig, distillation: Distillation | None) -> Embedding:
    """Return the objective; see :func:`fettle.train.objectives.make_objective`."""
    trained = torch.from_numpy(np.unique(dataset.subset("train").labels))
    return Embedding(config.arcface, trained, smoothing=config.label_smoothing, distillation=distillation)
