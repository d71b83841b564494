"""A network that maps a picture to a point on the unit sphere."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import nn
from torch.nn import functional as F

from fettle.errors import SpecError


class Embedder(nn.Module):
    """Backbone, embedding head, and a prototype for each identity that is trained on.

    It maps normalized images (N, 3, H, W) to embeddings (N, D) of length 1. The prototypes are of training alone, and
    no part of what is exported.

    Args:
        backbone: Images to features (N, F).
        classes: Identities.
        dimensions: D.
        dropout: Of the features.
        frozen: Parts of the backbone, from the first, that are not trained.
    """

    def __init__(self, backbone: nn.Module, classes: int, *, dimensions: int, dropout: float, frozen: int) -> None:
        super().__init__()
        self.backbone = backbone
        projection = nn.Linear(_features(backbone), dimensions, bias=False)
        norm = nn.BatchNorm1d(dimensions)
        # Without a shift (BNNeck, Luo et al. 2019, arXiv:1903.07071) embeddings have no direction in common.
        norm.bias.requires_grad_(False)
        self.head = nn.Sequential(nn.Dropout(dropout), projection, norm)
        self.prototypes = nn.Linear(dimensions, classes, bias=False)
        # Long, since the steps of Adam are so whatever the gradient: prototypes of length .2 were all carried to one
        # place before the network could tell anybody apart, where the margin costs least.
        nn.init.normal_(self.prototypes.weight, std=1.0)
        parts = list(backbone.children())
        if not 0 <= frozen <= len(parts):
            raise SpecError(f"`model.options.frozen` must be in 0..{len(parts)}, parts of the backbone, got {frozen}.")
        self._frozen = parts[:frozen]
        for part in self._frozen:
            part.requires_grad_(False)
        self.train()

    @property
    def predictors(self) -> tuple[nn.Module, ...]:
        """What gives the answer: pruning keeps its outputs."""
        return (self.head[1],)

    @property
    def class_layers(self) -> nn.Module:
        """What depends on the number of identities."""
        return self.prototypes

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """What is also saved, and can be loaded, apart."""
        return {"backbone": self.backbone, "head": self.head}

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the norms of frozen parts keep their statistics."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.head(self.backbone(images)).float())

    def cosines(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(N, D) to the cosine similarity with each prototype, (N, C)."""
        return F.linear(embeddings, F.normalize(self.prototypes.weight))


class CosineClassifier(nn.Module):
    """An embedder with its prototypes: (N, 3, H, W) to logits (N, C), the scaled cosines to the classes' prototypes.

    Args:
        embedder: Network, head and prototypes.
        scale: What cosines are multiplied by.
    """

    def __init__(self, embedder: Embedder, *, scale: float) -> None:
        super().__init__()
        if not scale > 0:
            raise SpecError(f"`model.options.scale` must be above 0, got {scale}.")
        self.embedder, self.scale = embedder, scale

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """What is also saved, and can be loaded, apart."""
        return self.embedder.parts

    @property
    def predictors(self) -> tuple[nn.Module, ...]:
        """What gives the answer: pruning keeps its outputs."""
        return self.embedder.predictors

    @property
    def class_layers(self) -> nn.Module:
        """What depends on the number of classes."""
        return self.embedder.class_layers

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scale * self.embedder.cosines(self.embedder(images))


def _features(backbone: nn.Module) -> int:
    features: int = backbone.num_features  # type: ignore[assignment]
    return features
