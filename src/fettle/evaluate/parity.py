"""How far a candidate's answers are from those it should equal."""

from dataclasses import dataclass

import numpy as np

from fettle.errors import ArtifactError


@dataclass(frozen=True)
class Parity:
    """Predictions against a reference's on the same images.

    Attributes:
        agreement: Share of images with the same most probable class; for detectors, of boxes that the other gives too.
        max_difference: Largest absolute difference of a probability or score.
        mean_difference: Mean absolute difference.
        overlap: For detectors: mean IoU of the boxes that both give; ``None`` where there is none.
    """

    agreement: float
    max_difference: float
    mean_difference: float
    overlap: float | None = None


def parity(probabilities: np.ndarray, reference: np.ndarray) -> Parity:
    """Compare two (N, C) arrays of probabilities.

    Raises:
        ArtifactError: If their shapes differ: they are of other images or classes.
    """
    if probabilities.shape != reference.shape:
        raise ArtifactError(
            f"Predictions of shape {probabilities.shape} cannot be compared with a reference of shape "
            f"{reference.shape}: validate both on the same dataset."
        )
    difference = np.abs(probabilities.astype(np.float64) - reference)
    return Parity(
        agreement=float((probabilities.argmax(1) == reference.argmax(1)).mean()),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
    )
