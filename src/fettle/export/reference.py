"""What :mod:`fettle.export.suppression` does, by torchvision: the exported graph is compared with it."""

import torch
from torchvision.ops import nms

from fettle.export.suppression import MOST_CANDIDATES
from fettle.spec import DetectionConfig

Detections = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def suppress(candidates: tuple[torch.Tensor, ...], config: DetectionConfig, *, image_size: int) -> Detections:
    """Return the detections of a batch: boxes (N, K, 4), scores (N, K), labels (N, K) int32, count (N, 1) int32.

    Args:
        candidates: Boxes (N, A, 4) float32 xyxy pixels, scores (N, A, C) float32 in [0, 1].
        config: Thresholds; whether boxes of different classes suppress one another.
        image_size: Boxes are clipped to [0, image_size].
    """
    images = [_suppress(*image, config, image_size) for image in zip(candidates[0], candidates[1], strict=True)]
    kept_boxes, kept_scores, labels, counts = zip(*images, strict=True)
    return torch.stack(kept_boxes), torch.stack(kept_scores), torch.stack(labels), torch.stack(counts)


def _suppress(boxes: torch.Tensor, scores: torch.Tensor, config: DetectionConfig, size: int) -> Detections:
    boxes, values, labels = _best_class(boxes, scores) if config.agnostic else _all_pairs(boxes, scores)
    order = values.argsort(descending=True, stable=True)[:MOST_CANDIDATES]
    order = order[values[order] >= config.confidence]
    boxes, values, labels = boxes[order], values[order], labels[order]
    pools = torch.zeros_like(labels) if config.agnostic else labels
    kept = torch.zeros_like(labels, dtype=torch.bool)
    for pool in set(pools.tolist()):
        rows = torch.nonzero(pools == pool)[:, 0]
        kept[rows[nms(boxes[rows], values[rows], config.iou)]] = True
    rows = torch.nonzero(kept)[: config.max_detections, 0]
    answer = (
        torch.zeros(config.max_detections, 4),
        torch.zeros(config.max_detections),
        torch.full((config.max_detections,), -1, dtype=torch.int32),
    )
    for into, found in zip(answer, (boxes.clamp(0, size), values, labels.int()), strict=True):
        into[: len(rows)] = found[rows]
    return *answer, torch.tensor([len(rows)], dtype=torch.int32)


def _best_class(boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return boxes, *scores.max(dim=1)


def _all_pairs(boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
    classes = scores.shape[1]
    labels = torch.arange(classes).repeat(len(boxes))
    return boxes.repeat_interleave(classes, dim=0), scores.flatten(), labels
