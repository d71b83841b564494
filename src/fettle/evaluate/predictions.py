"""Predictions on disk: outputs by name, and the truth under ``truth_`` names; those of val after ``val_``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np

from fettle.errors import ArtifactError

PREDICTIONS, VAL = "predictions.npz", "val_"
Arrays = Mapping[str, np.ndarray]
Thresholds = Mapping[str, int | float]  # of a detector: confidence, iou, max_detections


def save_predictions(folder: Path, *, test: Arrays, val: Arrays) -> None:
    """Write ``predictions.npz``."""
    arrays: dict[str, Any] = {**test, **{VAL + name: array for name, array in val.items()}}
    np.savez(folder / PREDICTIONS, **arrays)


def read_predictions(validation: Path, *, split: Literal["test", "val"] = "test") -> dict[str, np.ndarray]:
    """Return the outputs on a split by name (of a detector those of the full curve), and the truth.

    Raises:
        ArtifactError: If the file cannot be read.
    """
    file = validation / PREDICTIONS
    try:
        with np.load(file) as arrays:
            of_val = {name: name.removeprefix(VAL) for name in arrays.files if name.startswith(VAL)}
            of_test = {name: name for name in arrays.files if name not in of_val}
            return {name: arrays[stored] for stored, name in (of_val if split == "val" else of_test).items()}
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise ArtifactError(f"{file} cannot be read ({error}): validate again.") from None
