"""The loss of ``yolov5_resnet``: boxes by CIoU, objectness and classes by cross-entropy."""

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import complete_box_iou_loss

from fettle.models.yolov5.anchors import PER_SCALE
from fettle.models.yolov5.decoding import Decoder
from fettle.spec.train import DetectionLossConfig
from fettle.train.assignment import assign

SCALE_WEIGHTS = (4.0, 1.0, 0.4)  # YOLOv5's: fine scales have most cells, hardly any of which holds an object
FOCAL_ALPHA = 0.25


class DetectionLoss(nn.Module):
    """Weighted sum of the parts.

    Objectness shall be the IoU of the decoded box with its own (Redmon et al. 2016), 0 where none is assigned.

    Args:
        config: Weights of the parts, and gamma of the focal loss.
        smoothing: Classes shall be 1 - smoothing / 2 and smoothing / 2 instead of 1 and 0.
    """

    def __init__(self, config: DetectionLossConfig, *, smoothing: float = 0.0) -> None:
        super().__init__()
        self.config, self.smoothing = config, smoothing

    def forward(
        self, rows: torch.Tensor, targets: torch.Tensor, decoder: Decoder
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return the loss, and box, objectness, classification (unweighted) and the mean IoU of what is assigned.

        Args:
            rows: (N, A, 5 + C), as predicted.
            targets: (M, 6) image of the batch, class, xyxy in pixels.
            decoder: Of the network.
        """
        rows = rows.float()
        image, row, target = assign(targets, decoder)
        found, wanted = rows[image, row], targets[target]
        boxes = decoder.boxes(found, row)
        overlap = iou(boxes.detach(), wanted[:, 2:])
        objectness = torch.zeros_like(rows[..., 4])
        objectness[image, row] = overlap
        count = max(len(target), 1)
        parts = (
            complete_box_iou_loss(boxes, wanted[:, 2:], reduction="sum") / count,
            (self._cross_entropy(rows[..., 4], objectness) * _scale_weights(decoder, rows)).sum() / len(rows),
            self._class_loss(found[:, 5:], wanted[:, 1].long()) / count,
        )
        weights = self.config.box, self.config.objectness, self.config.classification
        loss = sum((weight * part for weight, part in zip(weights, parts, strict=True)), start=rows.new_zeros(()))
        return loss, (*(part.detach() for part in parts), overlap.sum() / count)

    def _class_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        targets = F.one_hot(labels, logits.shape[1]).float()
        targets = targets * (1 - self.smoothing) + self.smoothing / 2
        return self._cross_entropy(logits, targets).sum() / logits.shape[1]

    def _cross_entropy(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Binary, and focal if so configured: what is right already counts less (Lin et al. 2017, arXiv:1708.02002)."""
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if not self.config.focal:
            return loss
        share = logits.sigmoid()
        right = targets * share + (1 - targets) * (1 - share)
        alpha = targets * FOCAL_ALPHA + (1 - targets) * (1 - FOCAL_ALPHA)
        return loss * alpha * (1 - right) ** self.config.focal


def iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """IoU pair by pair: (K, 4) and (K, 4) xyxy to (K,)."""
    sides = (torch.minimum(boxes[:, 2:], others[:, 2:]) - torch.maximum(boxes[:, :2], others[:, :2])).clamp(min=0)
    area, other = ((each[:, 2:] - each[:, :2]).prod(1) for each in (boxes, others))
    common = sides.prod(1)
    return common / (area + other - common).clamp(min=1e-9)


def _scale_weights(decoder: Decoder, rows: torch.Tensor) -> torch.Tensor:
    """Return the weight of each row, (A,), so that its sum over an image is a weighted sum of the scales' means."""
    cells = [PER_SCALE * side * side for side in decoder.sides]
    weights = [weight / count for weight, count in zip(SCALE_WEIGHTS, cells, strict=True)]
    return torch.tensor(weights, device=rows.device).repeat_interleave(torch.tensor(cells, device=rows.device))
