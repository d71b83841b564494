"""How good a detector's boxes are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fettle.evaluate.intervals import Interval


@dataclass(frozen=True)
class ClassDetections:
    """One class.

    Attributes:
        name: Of the class.
        support: Objects of it.
        ap50: Average precision at IoU .5; ``None`` where there is no object.
        ap50_95: Its mean over IoU .5, .55, ... .95; ``None`` where there is no object.
        precision: At the operating point; ``None`` where nothing is answered.
        recall: At the operating point; ``None`` where there is no object.
        curve: Precision at IoU .5 and recall 0, .05, ... 1; empty where there is no object.
    """

    name: str
    support: int
    ap50: float | None
    ap50_95: float | None
    precision: float | None
    recall: float | None
    curve: tuple[float, ...]


@dataclass(frozen=True)
class SizeDetections:
    """Objects of one size, by their area in the original: up to 32² px small, up to 96² medium, above large."""

    support: int
    ap50: float | None
    ap50_95: float | None


@dataclass(frozen=True)
class DetectionMetrics:
    """Metrics of one set of images.

    Average precision is COCO's, of all detections of the full curve (up to 300 an image, where COCO counts 100). The
    operating point is what the served file answers: cut at its confidence and number of detections, IoU .5.

    Attributes:
        count: Images.
        objects: True boxes.
        answered: Boxes at the operating point.
        map50: Mean over the classes that occur of the average precision at IoU .5; ``None`` without objects.
        map50_95: The same over IoU .5, .55, ... .95.
        intervals: Of ``map50`` and ``map50_95``, by bootstrap over images.
        precision: Share of the answered boxes that are right; ``None`` where nothing is answered.
        recall: Share of the objects that are found; ``None`` without objects.
        f1: Harmonic mean of both; ``None`` without objects.
        per_class: In the order of the classes.
        by_size: ``small``, ``medium`` and ``large``.
        confusion: ``confusion[i][j]`` counts objects of class i that were taken for class j; the last row holds false
            alarms and the last column objects that were missed.
        precision_curve: Mean of the classes' precision at IoU .5 and recall 0, .01, ... 1.
        f1_curve: F1 at confidence 0, .01, ... 1.
    """

    count: int
    objects: int
    answered: int
    map50: float | None
    map50_95: float | None
    intervals: Mapping[str, Interval]
    precision: float | None
    recall: float | None
    f1: float | None
    per_class: tuple[ClassDetections, ...]
    by_size: Mapping[str, SizeDetections]
    confusion: tuple[tuple[int, ...], ...]
    precision_curve: tuple[float, ...]
    f1_curve: tuple[float, ...]
    task: Literal["detect"] = "detect"
