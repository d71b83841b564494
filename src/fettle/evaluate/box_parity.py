"""How far a detector's answers are from those of a reference."""

import numpy as np

from fettle.errors import ArtifactError
from fettle.evaluate.detections import answered
from fettle.evaluate.overlap import iou, pair
from fettle.evaluate.parity import Parity
from fettle.evaluate.predictions import Arrays, Thresholds

SAME = 0.9  # IoU of boxes that count as the same


def box_parity(mine: Arrays, thresholds: Thresholds, theirs: Arrays, reference: Thresholds) -> Parity:
    """Look for what each of the two answers on the full curve of the other.

    So a score that moves across a threshold is told by the difference of the scores, not as a lost box.

    Args:
        mine: Full curve of the candidate.
        thresholds: That it is served with.
        theirs: Full curve of the reference, on the same images.
        reference: Thresholds of the reference.

    Raises:
        ArtifactError: If they are not of the same number of images.
    """
    if len(mine["labels"]) != len(theirs["labels"]):
        raise ArtifactError(
            f"Predictions of {len(mine['labels'])} images cannot be compared with a reference of "
            f"{len(theirs['labels'])}: validate both on the same dataset."
        )
    there, wanted = _look_up(mine, thresholds, theirs)
    back, answers = _look_up(theirs, reference, mine)
    overlaps, shifts = np.concatenate([there, back]).T
    return Parity(
        agreement=len(overlaps) / (wanted + answers) if wanted + answers else 1.0,
        max_difference=float(shifts.max(initial=0.0)),
        mean_difference=float(shifts.mean()) if len(shifts) else 0.0,
        overlap=float(overlaps.mean()) if len(overlaps) else None,
    )


def _look_up(answers: Arrays, thresholds: Thresholds, other: Arrays) -> tuple[np.ndarray, int]:
    """Return (P, 2) IoU and score difference of the answered boxes that ``other`` has too, and how many were asked."""
    kept, pairs = answered(answers["scores"], answers["labels"], thresholds), [np.empty((0, 2))]
    for image in range(len(kept)):
        rows, columns = np.flatnonzero(kept[image]), np.flatnonzero(other["labels"][image] >= 0)
        overlaps = iou(answers["boxes"][image, rows], other["boxes"][image, columns])
        same = answers["labels"][image, rows][:, None] == other["labels"][image, columns]
        for row, column in pair(np.where(same, overlaps, 0.0), least=SAME):
            shift = abs(float(answers["scores"][image, rows[row]]) - float(other["scores"][image, columns[column]]))
            pairs.append(np.array([[overlaps[row, column], shift]]))
    return np.concatenate(pairs), int(kept.sum())
