"""Predictions of an exported model, checked for what must not be served."""

import numpy as np

from fettle.errors import ArtifactError
from fettle.evaluate.predictions import Arrays
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


def check_detections(outputs: tuple[np.ndarray, ...], classes: int, size: int, name: str) -> Arrays:
    """Return the outputs of a detector by name.

    Args:
        outputs: ``boxes`` (N, K, 4), ``scores`` (N, K), ``labels`` (N, K), ``count`` (N, 1).
        classes: C.
        size: Side of the square in pixels.
        name: The candidate, for the message.

    Raises:
        ArtifactError: If shapes are others, or values are not finite, not sorted, outside the square, or no class.
    """
    if [output.ndim for output in outputs] != [3, 2, 2, 2]:
        raise ArtifactError(
            f"{name} gives outputs of shapes {[output.shape[1:] for output in outputs]}, not boxes (K, 4), "
            "scores (K,), labels (K,) and count (1,): export it again."
        )
    boxes, scores = (output.astype(np.float32, copy=False) for output in outputs[:2])
    labels, count = outputs[2], outputs[3]
    there = np.arange(labels.shape[1]) < count
    broken = ~(np.isfinite(boxes).all(axis=(1, 2)) & np.isfinite(scores).all(axis=1))
    if broken.any():
        raise ArtifactError(_not_finite(name, int(broken.sum()), len(boxes)))
    corners = boxes[there]
    faults = {
        "boxes outside the image": not _in(corners, 0, size),
        "boxes that end before they begin": (corners[:, 2:] < corners[:, :2]).any(),
        "scores that do not fall, or are not in [0, 1]": (np.diff(scores) > 0).any() or not _in(scores, 0, 1),
        f"labels that are not one of its {classes} classes": not _in(labels[there], 0, classes - 1),
        "labels beyond the count": (labels[~there] != -1).any(),
    }
    fault = next((fault for fault, found in faults.items() if found), None)
    if fault:
        raise ArtifactError(f"{name} gives {fault}: export it again.")
    return {"boxes": boxes, "scores": scores, "labels": labels, "count": count}


def _in(values: np.ndarray, low: float, high: float) -> bool:
    return bool(((values >= low) & (values <= high)).all())


def _not_finite(name: str, broken: int, count: int) -> str:
    return (
        f"{name} gives NaN or infinity for {broken} of {count} images: the precision is too low for this model, keep "
        "more layers in float."
    )


def check_embeddings(outputs: tuple[np.ndarray, ...], _: int, __: int, name: str) -> Arrays:
    """Return the embeddings, (N, D) float32 of length 1, by name.

    Raises:
        ArtifactError: If they have another shape, are not finite, or of another length.
    """
    embeddings = outputs[0].astype(np.float32, copy=False)
    if embeddings.ndim != 2:
        raise ArtifactError(f"{name} gives outputs of shape {embeddings.shape[1:]}, not (D,): export it again.")
    broken = ~np.isfinite(embeddings).all(axis=1)
    if broken.any():
        raise ArtifactError(_not_finite(name, int(broken.sum()), len(embeddings)))
    lengths = np.linalg.norm(embeddings, axis=1)
    worst = lengths[np.abs(lengths - 1).argmax()]
    if abs(worst - 1) > ROW_SUM_TOLERANCE:
        raise ArtifactError(
            f"{name} gives embeddings of length {worst:.3g}, not 1: the normalization must be in the exported graph, "
            "export it again."
        )
    return {"embedding": embeddings / lengths[:, None]}


def check_probabilities(outputs: tuple[np.ndarray, ...], classes: int, _: int, name: str) -> Arrays:
    """Return the probabilities of a classifier, (N, C) float32, by name.

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
        raise ArtifactError(_not_finite(name, int(broken.sum()), len(probabilities)))
    sums = probabilities.sum(axis=1)
    worst = sums[np.abs(sums - 1).argmax()]
    if abs(worst - 1) > ROW_SUM_TOLERANCE or probabilities.min() < 0:
        raise ArtifactError(
            f"{name} gives outputs that are no probabilities (smallest {probabilities.min():.3g}, a row sums to "
            f"{worst:.3g}): softmax must be in the exported graph, export it again."
        )
    return {"probabilities": probabilities}
