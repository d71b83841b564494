"""Predictions of an exported model, checked for what must not be served."""

import numpy as np

from fettle.errors import ArtifactError
from fettle.runtimes import Engine

BATCH = 32
ROW_SUM_TOLERANCE = 1e-2  # half-precision softmax of a few hundred classes is off by about 1e-3


def predict(engine: Engine, images: np.ndarray, *, batch: int = BATCH) -> tuple[np.ndarray, ...]:
    """Run all images in batches.

    Args:
        engine: An opened engine.
        images: (N, S, S, 3) uint8, N >= 1; may be memory-mapped.
        batch: Images a call.

    Returns:
        The outputs, each (N, ...).
    """
    chunks = [engine(np.ascontiguousarray(images[start : start + batch])) for start in range(0, len(images), batch)]
    return tuple(np.concatenate(parts) for parts in zip(*chunks, strict=True))


def check_probabilities(outputs: tuple[np.ndarray, ...], classes: int, *, name: str) -> np.ndarray:
    """Return the (N, C) float32 probabilities of a classifier.

    Args:
        outputs: What the engine gave.
        classes: C.
        name: The candidate, for the message.

    Raises:
        ArtifactError: If they have another shape, are not finite, or rows do not sum to 1.
    """
    probabilities = outputs[0].astype(np.float32, copy=False)
    if probabilities.ndim != 2 or probabilities.shape[1] != classes:
        raise ArtifactError(
            f"{name} gives outputs of shape {probabilities.shape[1:]}, not ({classes},): export it again."
        )
    broken = np.logical_not(np.isfinite(probabilities).all(axis=1))
    if broken.any():
        raise ArtifactError(
            f"{name} gives NaN or infinity for {broken.sum()} of {len(probabilities)} images: the precision is too low "
            "for this model, keep more layers in float."
        )
    sums = probabilities.sum(axis=1)
    worst = sums[np.abs(sums - 1).argmax()]
    if abs(worst - 1) > ROW_SUM_TOLERANCE or probabilities.min() < 0:
        raise ArtifactError(
            f"{name} gives outputs that are no probabilities (smallest {probabilities.min():.3g}, a row sums to "
            f"{worst:.3g}): softmax must be in the exported graph, export it again."
        )
    return probabilities
