"""What must be known to rebuild a network before its weights are loaded."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from fettle.spec.base import Task

Plan = Mapping[str, Mapping[str, int]]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Architecture:
    """A network without its weights.

    Attributes:
        task: What the network does; it selects head, losses and metrics.
        family: A family of Fettle or a timm name.
        classes: Class names in the order of the logits.
        image_size: Height and width of the input in pixels.
        options: Keyword arguments of the family.
        mean: Of each RGB channel, for pixels in [0, 1]; subtracted before the first layer.
        std: Of each RGB channel; divided by.
        plan: Widths after pruning (see :mod:`fettle.models.plan`); ``None`` for the family's own.
        skipped: Names of blocks that are left out: their input is their output.
        input_size: Height and width that images are brought to inside the network (see
            :mod:`fettle.models.input_size`); ``None`` leaves them as they are.
    """

    task: Task
    family: str
    classes: tuple[str, ...]
    image_size: int
    options: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    plan: Plan | None = None
    skipped: tuple[str, ...] = ()
    input_size: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            TypeError: If a key is missing or unknown.
        """
        sequences = {key: tuple(values[key]) for key in ("classes", "mean", "std", "skipped") if key in values}
        return cls(**{**values, **sequences})
