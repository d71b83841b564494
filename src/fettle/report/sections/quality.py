"""What the baseline and the winner get right and wrong: what there is to tell differs by task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fettle.data import Subset
from fettle.evaluate.predictions import Arrays, read_predictions
from fettle.evaluate.results import Validation
from fettle.evaluate.tasks import TASKS
from fettle.report.sections import classification, detection, detection_mistakes, embedding
from fettle.report.sources import Sources

Validations = Mapping[str, Validation]


@dataclass(frozen=True)
class Account:
    """What is told of a task, by the templates ``quality-<task>.html.j2`` and ``mistakes-<task>.html.j2``.

    Attributes:
        quality: (validations worth a closer look, all validations) -> figures.
        mistakes: (test images, predictions by name, validations by name) -> the worst of them.
    """

    quality: Callable[[Validations, Validations], dict[str, Any]]
    mistakes: Callable[[Subset, Mapping[str, Arrays], Validations], dict[str, Any]]


ACCOUNTS: Mapping[str, Account] = {
    "classify": Account(classification.quality, classification.mistakes),
    "detect": Account(detection.quality, detection_mistakes.mistakes),
    "embed": Account(embedding.quality, embedding.mistakes),
}


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell the figures of the models worth a closer look, and their parity with the reference."""
    contrasted = _contrasted(sources)
    if not contrasted:
        return None
    task = next(iter(contrasted.values())).task
    return {
        "task": task,
        "parity": {name: validation.parity for name, validation in contrasted.items() if validation.parity},
        "references": {name: validation.reference for name, validation in contrasted.items()},
        **ACCOUNTS[task].quality(contrasted, {name: each for name, (_, each) in sources.validations.items()}),
    }


def build_mistakes(sources: Sources) -> dict[str, Any] | None:
    """Show where they are wrong; nothing if they were validated on another dataset than the one reported on."""
    contrasted = _contrasted(sources)
    if sources.dataset is None or not contrasted:
        return None
    task, test = next(iter(contrasted.values())).task, sources.dataset.subset("test")
    predictions = {name: read_predictions(artifact.path) for name, (artifact, _) in sources.contrasted.items()}
    truth = TASKS[task].truth(test)
    if not all(np.array_equal(found[name], array) for found in predictions.values() for name, array in truth.items()):
        return None
    return {"task": task, **ACCOUNTS[task].mistakes(test, predictions, contrasted)}


def _contrasted(sources: Sources) -> dict[str, Validation]:
    return {name: validation for name, (_, validation) in sources.contrasted.items()}
