"""A detector that votes among classifiers."""

from typing import Any

import torch
from torch import nn

from fettle.models.input_size import size_grid

EPS = 1e-6


class BestBox(nn.Module):
    """A detector as a classifier: a class is as likely as its best box.

    It maps normalized images (N, 3, S, S) to logits (N, C), the logarithms of each class's highest score, so that
    their softmax is the scores' shares. In train mode it gives what the detector's own loss takes.

    Args:
        detector: Gives boxes (N, A, 4) and scores (N, A, C) in eval mode.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    @property
    def predictors(self) -> tuple[nn.Module, ...]:
        """What gives the answer: pruning keeps its outputs."""
        return self.detector.predictors  # type: ignore[return-value]

    @property
    def class_layers(self) -> nn.Module:
        """What depends on the number of classes."""
        return self.detector.class_layers  # type: ignore[return-value]

    @property
    def size_grid(self) -> int:
        return size_grid(self.detector)

    def look_at_smaller(self, input_size: int) -> None:
        """See :func:`fettle.models.input_size.look_at_smaller`."""
        self.detector.look_at_smaller(input_size)  # type: ignore[operator]

    def forward(self, images: torch.Tensor) -> Any:
        answer = self.detector(images)
        if self.training:
            return answer
        _, scores = answer
        return scores.amax(dim=1).clamp_min(EPS).log()
