"""Mean average precision by pycocotools (Lin et al. 2014), and which detections and boxes found each other."""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fettle.data.boxes import Boxes

SIZES = ("small", "medium", "large")  # below 32² pixels of the original, below 96², above
IOU_50 = 0  # first of COCO's thresholds .50, .55, ... .95


@dataclass(frozen=True)
class OperatingPoint:
    """What the detections from one score upwards are worth, over all classes, at IoU .5."""

    confidence: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Matches:
    """What :func:`coco_evaluate` found, for N images with K detections at most and M boxes in all.

    Attributes:
        ap: (10, C) average precision by IoU threshold .50, .55, ... .95 and class; NaN for a class without a box.
        ap_by_size: (10, C) of the boxes of each of :data:`SIZES`; NaN where there is none.
        precision: (C, 101) precision at IoU .5 and recall 0, .01, ... 1.
        scores: (N, K) of the detections, as they were given.
        valid: (N, K) bool: where there is a detection.
        matched: (10, N, K) by IoU threshold: row of the box of its class that the detection has found, or -1.
        boxes: M.
    """

    ap: NDArray[np.float64]
    ap_by_size: Mapping[str, NDArray[np.float64]]
    precision: NDArray[np.float64]
    scores: NDArray[np.float32]
    valid: NDArray[np.bool_]
    matched: NDArray[np.int64]
    boxes: int

    @property
    def map50(self) -> float:
        return mean(self.ap[IOU_50])

    @property
    def map50_95(self) -> float:
        return mean(self.ap)

    @property
    def hits(self) -> NDArray[np.bool_]:
        """(N, K): the detection has found a box of its class with IoU .5 or more."""
        return np.asarray(self.matched[IOU_50] >= 0)

    @cached_property
    def best(self) -> OperatingPoint:
        """The score at which F1 is highest. Matching is greedy by score: below it nothing changes what is above."""
        order = np.argsort(-self.scores[self.valid], kind="stable")
        if not len(order) or not self.boxes:
            return OperatingPoint(1.0, 0.0, 0.0, 0.0)
        hits = np.cumsum(self.hits[self.valid][order])
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + self.boxes)
        top = int(np.argmax(f1))
        return OperatingPoint(
            confidence=float(self.scores[self.valid][order[top]]),
            precision=float(hits[top] / (top + 1)),
            recall=float(hits[top] / self.boxes),
            f1=float(f1[top]),
        )


def coco_evaluate(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    truth: Boxes,
    classes: int,
    *,
    by_size: bool = True,
) -> Matches:
    """Compare detections with the truth; nothing is printed.

    Args:
        boxes: (N, K, 4) xyxy pixels of the square.
        scores: (N, K).
        labels: (N, K) class of each; rows of -1 are no detections.
        truth: Boxes of the N images.
        classes: Number of classes C.
        by_size: Measure small, medium and large boxes too, which takes four times as long.
    """
    valid = labels >= 0
    sizes = SIZES if by_size else ()
    evaluation = _evaluation(boxes, scores, labels, truth, classes, sizes=sizes)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., -1]  # (10, 101, C, sizes); -1 where there is no box
    precision = np.where(precision < 0, np.nan, precision)
    matched = np.full((len(precision), labels.size), -1)
    for image in evaluation.evalImgs:
        if image is not None and image["aRng"] == evaluation.params.areaRng[0]:
            matched[:, np.array(image["dtIds"], int) - 1] = image["dtMatches"] - 1
    return Matches(
        ap=precision[..., 0].mean(axis=1),
        ap_by_size={name: precision[..., rank].mean(axis=1) for rank, name in enumerate(sizes, 1)},
        precision=precision[IOU_50, :, :, 0].T,
        scores=scores,
        valid=valid,
        matched=matched.reshape(len(precision), *labels.shape),
        boxes=len(truth.labels),
    )


def _evaluation(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    truth: Boxes,
    classes: int,
    *,
    sizes: tuple[str, ...],
) -> COCOeval:
    images, columns = np.nonzero(labels >= 0)
    detected, owner = boxes[images, columns], np.repeat(np.arange(len(truth)), np.diff(truth.starts))
    scale = _pixels_of_the_original(truth, owner)
    evaluation = COCOeval(
        _coco(truth.xyxy, owner, truth.labels, truth.areas, len(truth), classes),
        _coco(
            detected, images, labels[images, columns], _area(detected) * scale[images], len(truth), classes,
            ids=images * labels.shape[1] + columns + 1, scores=scores[images, columns],
        ),
        "bbox",
    )  # fmt: skip
    parameters = evaluation.params
    parameters.maxDets = [max(labels.shape[1], 1)]
    parameters.areaRng, parameters.areaRngLbl = parameters.areaRng[: 1 + len(sizes)], ["all", *sizes]
    return evaluation


def _coco(
    xyxy: NDArray[np.float32],
    images: NDArray[np.int64],
    labels: NDArray[np.integer[Any]],
    areas: NDArray[np.floating[Any]],
    count: int,
    classes: int,
    *,
    ids: NDArray[np.int64] | None = None,
    scores: NDArray[np.float32] | None = None,
) -> COCO:
    """Return the index that COCO's evaluator reads; ids begin at 1, since it takes 0 for none."""
    xywh = np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]]).astype(float)
    columns = {
        "id": np.arange(1, len(xywh) + 1) if ids is None else ids, "image_id": images, "category_id": labels,
        "bbox": xywh, "area": areas, **({} if scores is None else {"score": scores.astype(float)}),
    }  # fmt: skip
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    found = COCO()
    found.dataset = {
        "images": [{"id": image} for image in range(count)],
        "categories": [{"id": label} for label in range(classes)],
        "annotations": [{**dict(zip(columns, row, strict=True)), "iscrowd": 0} for row in rows],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        found.createIndex()
    return found


def _pixels_of_the_original(truth: Boxes, owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many pixels of its original a pixel of each image's square stands for, (N,).

    The boxes tell; an image without any counts as the median image.
    """
    ratios = truth.areas / np.maximum(_area(truth.xyxy), 1e-6)
    scale = np.full(len(truth), np.median(ratios) if len(ratios) else 1.0)
    scale[owner] = ratios
    return scale


def _area(xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1]))


def mean(values: NDArray[np.float64]) -> float:
    """Mean over what is there; NaN if nothing is."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")
