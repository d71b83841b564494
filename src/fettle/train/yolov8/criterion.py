"""Ultralytics' loss, in float32 and with label smoothing, which it no longer has."""

from typing import Any

import torch
from torch import nn
from ultralytics.utils.loss import v8DetectionLoss

Targets = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class SmoothingAssigner(nn.Module):
    """Spreads a share of an object's target score over all classes (Szegedy et al. 2016, arXiv:1512.00567).

    The sum over the classes stays, so that the boxes' weights do; the background's targets stay 0.
    """

    def __init__(self, assigner: nn.Module, smoothing: float) -> None:
        super().__init__()
        self.assigner, self.smoothing = assigner, smoothing

    def forward(self, *args: Any, **kwargs: Any) -> Targets:
        labels, boxes, scores, foreground, indices = self.assigner(*args, **kwargs)
        return labels, boxes, torch.lerp(scores, scores.mean(-1, keepdim=True), self.smoothing), foreground, indices


class Criterion(v8DetectionLoss):  # type: ignore[misc]
    """The loss of a batch; what the network gave under autocast is taken to float32 first.

    Args:
        network: Ultralytics' network, with its ``args``.
        smoothing: Share of the target score that is spread over all classes.
    """

    def __init__(self, network: nn.Module, smoothing: float) -> None:
        super().__init__(network)
        self.assigner: nn.Module = SmoothingAssigner(self.assigner, smoothing)

    def parse_output(self, preds: Any) -> dict[str, Any]:
        raw = super().parse_output(preds)
        return {**raw, "boxes": raw["boxes"].float(), "scores": raw["scores"].float()}
