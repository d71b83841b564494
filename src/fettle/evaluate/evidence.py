"""All that is known of one candidate before it is judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fettle.evaluate.outcomes import Outcome
from fettle.evaluate.results import Timing, Validation
from fettle.evaluate.tasks import TASKS

MODELS = ("model", "export")


@dataclass(frozen=True)
class Evidence:
    """One candidate's validation, timing and descent.

    Attributes:
        validation: Metrics and names.
        predictions: On the test split: outputs by name, and the truth under ``truth_`` names.
        timing: Speed, memory and size.
        export: ``{digest, kind, parents}`` of its export, with all that it was made from, nested as in a card.
    """

    validation: Validation
    predictions: Mapping[str, np.ndarray]
    timing: Timing
    export: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.validation.candidate

    @property
    def size_mb(self) -> float:
        return self.timing.size_mb or 0.0

    @property
    def truth(self) -> Mapping[str, np.ndarray]:
        return {name: array for name, array in self.predictions.items() if name.startswith("truth_")}

    @cached_property
    def outcome(self) -> Outcome:
        """The answers beside the truth, for comparison with another candidate's."""
        validation, task = self.validation, TASKS[self.validation.task]
        return task.outcome(task.study(self.predictions, len(validation.classes)), validation.thresholds)

    @cached_property
    def origins(self) -> frozenset[str]:
        """Digests that stand for this candidate in the descent of others: its export, and the model that it shows as it
        is, which no other export stands between."""
        parents = self.export["parents"].values()
        models = [parent["digest"] for parent in parents if parent["kind"] == "model"]
        return frozenset(
            [self.export["digest"], *([] if any(each["kind"] == "export" for each in parents) else models)]
        )

    @property
    def is_plain(self) -> bool:
        """Whether it is a network as it was trained, on its own: nothing was done to it, and nobody taught it."""
        parents = list(self.export["parents"].values())
        # Weights that it started from made it no less itself.
        makers = [old for parent in parents for role, old in parent["parents"].items() if role != "weights"]
        return (
            bool(parents)
            and all(parent["kind"] == "model" for parent in parents)
            and not any(maker["kind"] in MODELS for maker in makers)
        )

    @cached_property
    def ancestors(self) -> Mapping[str, int]:
        """Digests that the export was made from, and how many steps back each lies; who only taught does not count."""
        found: dict[str, int] = {}
        generation, steps = _makers(self.export), 1
        while generation:
            for parent in generation:
                found.setdefault(parent["digest"], steps)
            generation = [older for parent in generation for older in _makers(parent)]
            steps += 1
        return found


def _makers(artifact: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [parent for role, parent in artifact["parents"].items() if role != "teacher"]


def parents_of(candidate: Evidence, others: list[Evidence]) -> list[Evidence]:
    """Return the candidates of the same runtime that ``candidate`` was made from, nearest first."""

    def steps_back(other: Evidence) -> int | None:
        return min(
            (candidate.ancestors[digest] for digest in other.origins if digest in candidate.ancestors), default=None
        )

    related = [
        (steps, index, other)
        for index, other in enumerate(others)
        if other.name != candidate.name
        and other.validation.runtime == candidate.validation.runtime
        and other.export["digest"] != candidate.export["digest"]
        and (steps := steps_back(other)) is not None
    ]
    return [other for _, _, other in sorted(related, key=lambda row: row[:2])]
