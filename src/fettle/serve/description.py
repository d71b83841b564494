"""What the configuration of a served version tells a client."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from fettle.publish.config import BY_CLASS, CLASSES, MEMBERS, MODEL, RESIZE, SIMILARITY, TASK


@dataclass(frozen=True)
class Member:
    """Who votes in an ensemble."""

    model: str
    version: str


@dataclass(frozen=True)
class Description:
    """One version of a model, as its configuration describes it.

    Attributes:
        version: The one that the policy names; empty where the policy leaves it open.
        task: What the model does; empty where that is not known.
        classes: Names by index; none where the configuration does not have them.
        resize: How a photograph becomes square.
        image_shape: (S, S, 3).
        max_batch: Images a request may have.
        by_class: Output that runs over the classes, if there is one.
        similarity: Of embeddings: from which on two are of one identity.
        model: Of embeddings: digest of the model's files.
        members: Of an ensemble: the model and version of each member, in the order of their votes.
    """

    version: str
    task: str
    classes: tuple[str, ...]
    resize: str
    image_shape: tuple[int, ...]
    max_batch: int
    by_class: str | None = None
    similarity: float | None = None
    model: str = ""
    members: Mapping[str, Member] = field(default_factory=dict)

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """Read a configuration as Triton gives it in JSON; numbers may be text.

        A version that an early Fettle promoted, or another program, has no parameters of ours: it is a classifier if
        it has a classifier's output.
        """
        parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        by_class = next((output["name"] for output in config["output"] if output["name"] in BY_CLASS), None)
        versions = config.get("version_policy", {}).get("specific", {}).get("versions", [])
        return cls(
            version=str(versions[0]) if len(versions) == 1 else "",
            task=parameters.get(TASK, "classify" if by_class else ""),
            classes=tuple(json.loads(parameters.get(CLASSES, "[]"))),
            resize=parameters.get(RESIZE, "squash"),
            image_shape=_numbers(config["input"][0]["dims"]),
            max_batch=int(config["max_batch_size"]),
            by_class=by_class,
            similarity=float(parameters[SIMILARITY]) if SIMILARITY in parameters else None,
            model=parameters.get(MODEL, ""),
            members={
                name: Member(each["model"], str(each["version"]))
                for name, each in json.loads(parameters.get(MEMBERS, "{}")).items()
            },
        )


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
