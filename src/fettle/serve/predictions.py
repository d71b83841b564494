"""What a model says of a photograph, task by task: from the arrays of an answer to names and pixels."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from fettle.data.resize import Placement
from fettle.errors import ServeError
from fettle.serve.description import Member


@dataclass(frozen=True)
class Mark:
    """What can be drawn: a caption, and the box that it is about; ``None`` for the whole photograph."""

    label: str
    caption: str
    box: tuple[float, ...] | None = None


class Prediction(Protocol):
    """The answer for one photograph."""

    @property
    def words(self) -> str:
        """The answer as part of a sentence."""
        ...

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The answer as rows of text."""
        ...

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The answer as what can be drawn."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values, with the model and the version that gave it."""
        ...


@dataclass(frozen=True)
class Vote:
    """What a member of an ensemble says: its model and version, and its ``probabilities`` by label."""

    model: str
    version: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class Classification:
    """One label for a photograph; ``probabilities`` by label, and of an ensemble the ``votes`` of its members."""

    label: str
    probability: float
    probabilities: Mapping[str, float]
    model: str
    version: str
    votes: Mapping[str, Vote] = field(default_factory=dict)

    @property
    def words(self) -> str:
        return f"{self.label} ({self.probability:.1%})"

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        return ((self.label, f"{self.probability:.4f}"),)

    @property
    def marks(self) -> tuple[Mark, ...]:
        return (Mark(self.label, f"{self.label} {self.probability:.1%}"),)

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        if not self.votes:
            del found["votes"]
        return found


@dataclass(frozen=True)
class Detections:
    """What was found on a photograph, the highest score first.

    Attributes:
        boxes: (M, 4) float32 left, top, right, bottom in pixels of the upright photograph.
        scores: (M,) float32.
        labels: M names.
        model: That answered.
        version: That answered.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: tuple[str, ...]
    model: str
    version: str

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def words(self) -> str:
        return ", ".join(f"{label} ({score}) at {place}" for label, score, place in self._found) or "nothing"

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        return self._found or (("-", "-", "-"),)

    @property
    def marks(self) -> tuple[Mark, ...]:
        found = zip(self._found, self.boxes.tolist(), strict=True)
        return tuple(Mark(label, f"{label} {score}", tuple(box)) for (label, score, _), box in found)

    def to_json(self) -> dict[str, Any]:
        found = zip(self.labels, self.scores.tolist(), self.boxes.tolist(), strict=True)
        detections = [{"label": label, "score": score, "box": box} for label, score, box in found]
        return {"detections": detections, "model": self.model, "version": self.version}

    @property
    def _found(self) -> tuple[tuple[str, str, str], ...]:
        """Label, score and place of each in words."""
        places = [" ".join(f"{value:.0f}" for value in box) for box in self.boxes]
        scores = [f"{score:.2f}" for score in self.scores]
        return tuple(zip(self.labels, scores, places, strict=True))


@dataclass(frozen=True)
class Embedding:
    """Where a photograph lies among others.

    Attributes:
        vector: (D,) float32 of length 1.
        model: That answered.
        version: That answered.
    """

    vector: np.ndarray
    model: str
    version: str

    @property
    def words(self) -> str:
        return f"a point of {len(self.vector)} dimensions"

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        return (tuple(f"{value:.4f}" for value in self.vector.tolist()),)

    @property
    def marks(self) -> tuple[Mark, ...]:
        return ()

    def to_json(self) -> dict[str, Any]:
        return {"embedding": self.vector.tolist(), "model": self.model, "version": self.version}


@dataclass(frozen=True)
class Source:
    """Who answered: the model, its version, its class names by index, and the members of an ensemble."""

    model: str
    version: str
    classes: tuple[str, ...]
    members: Mapping[str, Member] = field(default_factory=dict)


Outputs = Mapping[str, np.ndarray]
Reader = Callable[[Outputs, Placement, Source], Prediction]


def read_classification(outputs: Outputs, placement: Placement, source: Source) -> Classification:
    """Read ``probabilities`` (C,), and of an ensemble ``votes`` (M, C)."""
    del placement
    probabilities = dict(zip(source.classes, outputs["probabilities"].tolist(), strict=True))
    label = max(probabilities, key=probabilities.__getitem__)
    votes = {
        name: Vote(member.model, member.version, dict(zip(source.classes, vote, strict=True)))
        for (name, member), vote in zip(
            source.members.items(), outputs.get("votes", np.empty((0, 0))).tolist(), strict=True
        )
    }
    return Classification(label, probabilities[label], probabilities, source.model, source.version, votes)


def read_detections(outputs: Outputs, placement: Placement, source: Source) -> Detections:
    """Read ``boxes`` (K, 4) in pixels of the square, ``scores`` (K,), ``labels`` (K,), ``count`` (1,)."""
    found = slice(int(outputs["count"][0]))
    return Detections(
        boxes=placement.to_photo(outputs["boxes"][found]),
        scores=outputs["scores"][found],
        labels=tuple(source.classes[label] for label in outputs["labels"][found]),
        model=source.model,
        version=source.version,
    )


def read_embedding(outputs: Outputs, placement: Placement, source: Source) -> Embedding:
    """Read ``embedding`` (D,)."""
    del placement
    return Embedding(outputs["embedding"], source.model, source.version)


READERS: Mapping[str, Reader] = MappingProxyType(
    {"classify": read_classification, "detect": read_detections, "embed": read_embedding}
)


def find_reader(task: str, model: str) -> Reader:
    """Return what reads the answers of ``model``.

    Raises:
        ServeError: If its task is unknown.
    """
    if task not in READERS:
        raise ServeError(
            f"{model} has no task that this Fettle can read: its parameter `fettle.task` is {task or 'absent'}, not "
            f"{' or '.join(READERS)}. Promote it again, or ask for its plain outputs with `Client.infer`."
        )
    return READERS[task]
