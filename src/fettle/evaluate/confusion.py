"""Which classes a detector takes for which, with the background as one of them."""

import numpy as np

from fettle.data.average_precision import IOU_50
from fettle.evaluate.detections import Detections
from fettle.evaluate.overlap import iou, pair
from fettle.evaluate.predictions import Thresholds


def confusion_matrix(detections: Detections, thresholds: Thresholds, *, least: float = 0.5) -> np.ndarray:
    """Return (C + 1, C + 1) counts at the operating point: rows are true, columns answered, the last is background.

    What COCO's evaluator matched stands on the diagonal. Of the rest, a detection that lies over an object of another
    class with IoU of at least ``least`` was taken for it; what is left was missed, or is a false alarm.
    """
    truth, background = detections.truth, detections.classes
    counts = np.zeros((background + 1, background + 1), np.int64)
    answered, found = detections.answered(thresholds), detections.found(thresholds)
    np.add.at(counts, (truth.labels[found], truth.labels[found]), 1)
    alarms = answered & (detections.matches.matched[IOU_50] < 0)
    for image in range(len(truth)):
        rows = np.arange(truth.starts[image], truth.starts[image + 1])
        missed = rows[~found[rows]]
        wrong = np.flatnonzero(alarms[image])
        pairs = pair(iou(detections.boxes[image, wrong], truth.xyxy[missed]), least=least)
        took = np.array([(missed[column], wrong[row]) for row, column in pairs], int).reshape(-1, 2)
        np.add.at(counts, (truth.labels[took[:, 0]], detections.labels[image, took[:, 1]]), 1)
        np.add.at(counts, (truth.labels[np.setdiff1d(missed, took[:, 0])], background), 1)
        np.add.at(counts, (background, detections.labels[image, np.setdiff1d(wrong, took[:, 1])]), 1)
    return counts
