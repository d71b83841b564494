"""How far served answers are from the offline ones, task by task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.optimize import linear_sum_assignment

from fettle.evaluate.predictions import Thresholds
from fettle.hardware import passport

Outputs = Mapping[str, np.ndarray]
Tolerances = Mapping[str, float]
# One engine on one machine was measured to give the same bits in any batch, save dynamic INT8, whose scales are
# taken over the whole batch. Other machines have other kernels, which round otherwise in the lower precisions.
PROBABILITY = {"float32": 1e-5, "fp16": 5e-3, "bf16": 1e-2, "int8": 3e-2}
BOX_PIXELS, SCORE = 1.0, 1e-3


@dataclass(frozen=True)
class Comparison:
    """Answers to the same images, from a server and offline.

    Attributes:
        differences: The largest by measure, as named in the task's tolerances.
        same: (N,) bool: which images have the same labels.
    """

    differences: Mapping[str, float]
    same: np.ndarray


@dataclass(frozen=True)
class Comparer:
    """How answers of a task are compared.

    Attributes:
        tolerances: (runtime, precision) -> largest allowed difference by measure.
        compare: (served, expected, tolerances, thresholds of the served file) -> comparison.
    """

    tolerances: Callable[[str, str], Tolerances]
    compare: Callable[[Outputs, Outputs, Tolerances, Thresholds], Comparison]


def compare_probabilities(served: Outputs, expected: Outputs, _: Tolerances, __: Thresholds) -> Comparison:
    """Compare ``probabilities`` (N, C); an image is the same if its most probable class is."""
    mine, theirs = served["probabilities"], expected["probabilities"]
    return Comparison({"probability": float(np.abs(mine - theirs).max())}, mine.argmax(1) == theirs.argmax(1))


def compare_embeddings(served: Outputs, expected: Outputs, tolerances: Tolerances, _: Thresholds) -> Comparison:
    """Compare ``embedding`` (N, D); an image is the same if it lies where it should."""
    distance = np.abs(served["embedding"] - expected["embedding"]).max(axis=1)
    return Comparison({"coordinate": float(distance.max())}, distance <= tolerances["coordinate"])


def compare_detections(
    served: Outputs, expected: Outputs, tolerances: Tolerances, thresholds: Thresholds
) -> Comparison:
    """Compare detections as sets, since two of nearly equal scores may come in either order.

    A detection is the same as one of equal label that is within the tolerances. What has no counterpart counts as
    ``unpaired``, unless its score is at the point where the other answer ends: the confidence, or the last place.
    """
    shifts, same = {"box": 0.0, "score": 0.0}, np.zeros(len(expected["count"]), bool)
    unpaired = 0
    for row in range(len(same)):
        mine, theirs = Found.of(served, row), Found.of(expected, row)
        pairs = mine.pairs(theirs, tolerances)
        for name, value in mine.shifts(theirs, pairs).items():
            shifts[name] = max(shifts[name], value)
        lonely = mine.missed_by(theirs, pairs[0], tolerances, thresholds)
        lonely += theirs.missed_by(mine, pairs[1], tolerances, thresholds)
        same[row] = lonely == 0
        unpaired += lonely
    return Comparison({**shifts, "unpaired": unpaired}, same)


@dataclass(frozen=True)
class Found:
    """The detections on one image: boxes (M, 4), scores (M,), labels (M,); ``full`` if there was no room for more."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    full: bool

    @classmethod
    def of(cls, outputs: Outputs, row: int) -> "Found":
        count, room = int(outputs["count"][row, 0]), outputs["scores"].shape[1]
        boxes, scores, labels = (outputs[name][row, : max(count, 0)] for name in ("boxes", "scores", "labels"))
        return cls(boxes, scores, labels, count == room)

    def pairs(self, other: "Found", tolerances: Tolerances) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of mine and of the other's that are the same detection: as many pairs as there can be."""
        box, score = self._distances(other)
        near = (self.labels[:, None] == other.labels) & (box <= tolerances["box"]) & (score <= tolerances["score"])
        mine, theirs = linear_sum_assignment(np.where(near, box, 1e6))
        kept = near[mine, theirs]
        return mine[kept], theirs[kept]

    def shifts(self, other: "Found", pairs: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
        """Return the largest difference of a coordinate in pixels, and of a score, over ``pairs``."""
        box, score = self._distances(other)
        return {"box": float(box[pairs].max(initial=0)), "score": float(score[pairs].max(initial=0))}

    def missed_by(self, other: "Found", paired: np.ndarray, tolerances: Tolerances, thresholds: Thresholds) -> int:
        """Count the rows without a counterpart, save those where ``other`` had to end: there rounding decides."""
        end = other.scores.min(initial=np.inf) if other.full else thresholds["confidence"]
        alone = np.delete(self.scores, paired)
        return len(alone) - int((np.abs(alone - end) <= tolerances["score"]).sum())

    def _distances(self, other: "Found") -> tuple[np.ndarray, np.ndarray]:
        """Return (M, M') largest difference of a coordinate, and difference of scores."""
        box = np.abs(self.boxes[:, None] - other.boxes[None]).max(axis=2, initial=0)
        return box, np.abs(self.scores[:, None] - other.scores[None])


def _by_precision(measure: str) -> Callable[[str, str], Tolerances]:
    """Return what allows a difference of ``measure``, a number of [-1, 1], by runtime and precision."""

    def tolerances(runtime: str, precision: str) -> Tolerances:
        # OpenVINO runs float models in bf16 where the CPU has it.
        if runtime == "openvino" and precision == "float32" and passport().native_bf16:
            precision = "bf16"
        return {measure: PROBABILITY[precision]}

    return tolerances


COMPARERS: Mapping[str, Comparer] = MappingProxyType(
    {
        "classify": Comparer(_by_precision("probability"), compare_probabilities),
        "embed": Comparer(_by_precision("coordinate"), compare_embeddings),
        "detect": Comparer(lambda *_: {"box": BOX_PIXELS, "score": SCORE, "unpaired": 0}, compare_detections),
    }
)
