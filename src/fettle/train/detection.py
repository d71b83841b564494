"""How detectors of the Lightning room are learnt and scored."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torchmetrics import MeanMetric, Metric
from torchvision.ops import batched_nms

from fettle.data.average_precision import coco_evaluate
from fettle.data.boxes import Boxes, starts_of
from fettle.data.dataset import Dataset
from fettle.errors import SpecError, TrainError
from fettle.spec.detections import DetectionConfig
from fettle.spec.train import DetectionLossConfig, TrainConfig
from fettle.train.detection_loss import DetectionLoss
from fettle.train.objectives import VAL, Direction
from fettle.train.regularize import Distillation

MOST = 300  # detections an image, as in COCO's own evaluation of dense scenes
LEAST = 0.001  # score
NMS = DetectionConfig()


def suppress(boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Class-agnostic NMS of a batch, at the overlap that is served by default.

    Args:
        boxes: (N, A, 4) xyxy.
        scores: (N, A, C).

    Returns:
        (N, K, 4) boxes, (N, K) scores and (N, K) labels, which are -1 where nothing is left.
    """
    scores, labels = scores.max(dim=2)
    scores, chosen = scores.topk(min(MOST, scores.shape[1]), dim=1)
    boxes = boxes.gather(1, chosen[..., None].expand(-1, -1, 4))
    labels = labels.gather(1, chosen)
    image = torch.arange(len(scores), device=scores.device)[:, None].expand_as(scores)
    kept = batched_nms(boxes.flatten(0, 1), scores.flatten(), image.flatten(), NMS.iou)
    left = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    left[kept] = True
    return boxes, scores, torch.where(left.view_as(scores) & (scores >= LEAST), labels, -1)


class DetectionScores(Metric):
    """Collects detections and truth over batches and processes; mean average precision at the end."""

    full_state_update = False
    boxes: list[torch.Tensor]
    scores: list[torch.Tensor]
    labels: list[torch.Tensor]
    counts: list[torch.Tensor]
    truth: list[torch.Tensor]

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        for name in ("boxes", "scores", "labels", "counts", "truth"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, detections: tuple[torch.Tensor, ...], targets: torch.Tensor) -> None:
        boxes, scores, labels = detections
        self.boxes.append(boxes)
        self.scores.append(scores)
        self.labels.append(labels)
        self.truth.append(targets[:, 1:])
        self.counts.append(torch.bincount(targets[:, 0].long(), minlength=len(boxes)))

    def compute(self) -> dict[str, float]:
        boxes, scores, labels, counts, truth = (
            torch.cat([*cast(Any, values)] if isinstance(values, list) else [values]).cpu().numpy()
            for values in (self.boxes, self.scores, self.labels, self.counts, self.truth)
        )
        xyxy = truth[:, 1:]
        areas = (xyxy[:, 2:] - xyxy[:, :2]).prod(1)
        known = Boxes(xyxy, truth[:, 0].astype(np.int64), starts_of(counts), areas)
        found = coco_evaluate(boxes, scores, labels, known, self.classes, by_size=False)
        return {
            "map50": found.map50,
            "map50_95": found.map50_95,
            "precision": found.best.precision,
            "recall": found.best.recall,
        }


class Detection(nn.Module):
    """YOLOv5's loss; mean average precision after NMS, precision and recall where F1 is highest."""

    monitors: Mapping[str, Direction] = MappingProxyType(
        {"map50_95": "max", "map50": "max", "precision": "max", "recall": "max", "loss": "min"}
    )
    parts: tuple[str, ...] = ("box_loss", "objectness_loss", "classification_loss", "iou")
    shown: Mapping[str, str] = MappingProxyType({"map50": "mAP50 %.3f", "map50_95": "mAP50-95 %.3f", "iou": "IoU %.3f"})
    probes = False

    def __init__(self, config: DetectionLossConfig, classes: int, *, smoothing: float) -> None:
        super().__init__()
        self.criterion = DetectionLoss(config, smoothing=smoothing)
        self.plain = DetectionLoss(config.model_copy(update={"focal": 0.0}))
        self.metrics = DetectionScores(classes)
        self.val_loss = MeanMetric()

    def loss(
        self, model: nn.Module, images: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        found: tuple[torch.Tensor, tuple[torch.Tensor, ...]] = self.criterion(model(images), targets, model.decode)
        return found

    def reset(self) -> None:
        self.metrics.reset()
        self.val_loss.reset()

    def update(self, model: nn.Module, images: torch.Tensor, targets: torch.Tensor, loader: int = VAL) -> None:
        assert loader == VAL
        network = cast(Any, model)
        rows = network.predict(images).float()
        self.metrics.update(suppress(*network.decode(rows)), targets)
        self.val_loss.update(self.plain(rows, targets, network.decode)[0], weight=len(images))

    def scores(self) -> dict[str, float]:
        return {"val_loss": self.val_loss.compute().item(), **self.metrics.compute()}


def make(dataset: Dataset, config: TrainConfig, distillation: Distillation | None) -> Detection:
    """Return the objective; see :func:`fettle.train.objectives.make_objective`."""
    if distillation is not None:
        raise SpecError("`distil` is for classifiers: a detector learns from the boxes alone, set `distil: null`.")
    for split in ("train", "val"):
        if not len(dataset.subset(split).boxes.labels):
            raise TrainError(f"No {split} image of the data set has a box: there is nothing to learn a detector from.")
    return Detection(config.loss, len(dataset.classes), smoothing=config.label_smoothing)
