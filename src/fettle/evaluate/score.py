"""The headline score of an export on a split: what a search or a recovery goes by."""

import math
import tempfile
from pathlib import Path
from typing import NamedTuple

from fettle.data import Subset
from fettle.errors import DataError
from fettle.evaluate.measures import headline
from fettle.evaluate.predict import predict
from fettle.evaluate.tasks import TASKS
from fettle.export import Export, full_curve, set_thresholds
from fettle.runtimes import open_engine


class Scored(NamedTuple):
    """How good an export is.

    Attributes:
        score: The accuracy; of a detector mAP50, of an embedding rank-1.
        loss: Of a classifier, the mean cross-entropy in nats; infinite for what has none.
    """

    score: float
    loss: float


def score(export: Export, subset: Subset, runtime: str) -> float:
    """Return the headline score alone; see :func:`score_and_loss`."""
    return score_and_loss(export, subset, runtime).score


def score_and_loss(export: Export, subset: Subset, runtime: str) -> Scored:
    """Return how good an export is on ``subset`` in ``runtime``.

    Raises:
        DataError: If there is no object among the images.
    """
    task = TASKS[export.task]
    with tempfile.TemporaryDirectory(prefix="fettle-") as folder:
        full = set_thresholds(export, Path(folder), **full_curve(export))
        with open_engine(runtime, full.file, options=full.runtime_options(runtime)) as engine:
            outputs = predict(engine, subset.images)
    found = {**task.check(outputs, len(export.classes), export.image_size, export.recipe), **task.truth(subset)}
    metrics = task.metrics(task.study(found, len(export.classes)), export.thresholds, export.classes)
    value = getattr(metrics, headline(export.task).name)
    if value is None:
        raise DataError(f"The {subset.name} split has no object to score a detector on.")
    return Scored(float(value), float(getattr(metrics, "nll", math.inf)))
