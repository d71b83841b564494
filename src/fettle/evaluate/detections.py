"""What a detector answers on images whose boxes are known, and which of its boxes are right."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fettle.data.average_precision import IOU_50, Matches, coco_evaluate
from fettle.data.boxes import Boxes
from fettle.evaluate.predictions import Arrays, Thresholds

OUTPUTS = ("boxes", "scores", "labels", "count")


@dataclass(frozen=True)
class Detections:
    """The full curve of a detector beside the truth, N images with K detections at most.

    Attributes:
        boxes: (N, K, 4) float32 xyxy in pixels of the square.
        scores: (N, K) float32, falling.
        labels: (N, K) int; -1 where there is none.
        truth: Boxes of the N images.
        classes: Number of classes.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    truth: Boxes
    classes: int

    @cached_property
    def matches(self) -> Matches:
        """By COCO's evaluator: which detection has found which box."""
        return coco_evaluate(self.boxes, self.scores, self.labels, self.truth, self.classes)

    def answered(self, thresholds: Thresholds) -> np.ndarray:
        """(N, K) bool: what is answered at these thresholds."""
        return answered(self.scores, self.labels, thresholds)

    def found(self, thresholds: Thresholds) -> np.ndarray:
        """(M,) bool: true boxes that are found at IoU .5 by what is answered."""
        rows = self.matches.matched[IOU_50][self.answered(thresholds)]
        found = np.zeros(len(self.truth.labels), bool)
        found[rows[rows >= 0]] = True
        return found


def read_detections(predictions: Arrays, classes: int) -> Detections:
    """Return the detections and boxes that predictions hold."""
    names = ("xyxy", "labels", "starts", "areas")
    truth = Boxes(**{name: predictions[f"truth_{name}"] for name in names})
    return Detections(predictions["boxes"], predictions["scores"], predictions["labels"], truth, classes)


def truth_arrays(boxes: Boxes) -> Arrays:
    """Return true boxes as they are stored beside predictions."""
    return {f"truth_{name}": array for name, array in vars(boxes).items()}


def answered(scores: np.ndarray, labels: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Return (N, K) bool: which rows of a full curve a file with these thresholds answers.

    Greedy suppression lets no lower score suppress a higher one, so that it is those that come first.
    """
    enough = scores >= np.float32(thresholds["confidence"])
    return np.asarray((labels >= 0) & enough & (np.arange(labels.shape[1]) < thresholds["max_detections"]))


def cut(predictions: Arrays, thresholds: Thresholds) -> Arrays:
    """Return the outputs that a file with these thresholds gives, by name; K is ``max_detections``."""
    kept = answered(predictions["scores"], predictions["labels"], thresholds)
    places = int(thresholds["max_detections"])
    padding = ((0, 0), (0, max(0, places - kept.shape[1])))
    blank = {"boxes": 0.0, "scores": 0.0, "labels": -1}
    outputs = {}
    for name, nothing in blank.items():
        values = predictions[name]
        mask = kept.reshape(*kept.shape, *[1] * (values.ndim - 2))
        full = np.where(mask, values, np.asarray(nothing, values.dtype))
        wide = np.pad(full, padding + ((0, 0),) * (values.ndim - 2), constant_values=nothing)
        outputs[name] = wide[:, :places]
    return {**outputs, "count": kept.sum(axis=1, keepdims=True).astype(np.int32)}
