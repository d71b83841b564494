"""``members`` and ``ensemble``: several classifiers that vote, and the single network that learns from them."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from fettle.spec.base import Section
from fettle.spec.model import ModelConfig
from fettle.spec.presets import with_family_preset
from fettle.spec.recipes import BASELINE, NAME, Recipe, check_recipes
from fettle.spec.train import DistilConfig, TrainConfig

STUDENT = "student"  # the single network that learns from the vote
RESERVED = frozenset({BASELINE, STUDENT, "default", "fitted", "vote"})


class MemberConfig(Section):
    """A classifier that votes: a network of its own, trained, optimized and served as any other."""

    model: ModelConfig = ModelConfig()
    """The network; its ``image_size`` is that of ``model``."""
    train: TrainConfig = TrainConfig()
    """How it is fitted."""
    recipes: dict[str, Recipe] = {}
    """Named optimization paths; the baseline is always there."""
    votes: str = Field("baseline-openvino", pattern=r"^[a-z0-9-]+-(onnxruntime|openvino|tensorrt)$")
    """Which of its candidates votes, ``<recipe>-<runtime>``."""

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_family(cls, values: Any) -> Any:
        return with_family_preset(values, task="classify")

    @model_validator(mode="after")
    def _recipes_make_sense(self) -> Self:
        check_recipes(self.recipes)
        if self.voting_recipe not in (BASELINE, *self.recipes):
            raise ValueError(f"votes names the recipe {self.voting_recipe!r}, which is not among recipes")
        return self

    @property
    def voting_recipe(self) -> str:
        return self.votes.rpartition("-")[0]

    @property
    def voting_runtime(self) -> str:
        return self.votes.rpartition("-")[2]


class EnsembleConfig(Section):
    """Weighted soft voting: the mean of the members' probabilities."""

    weights: dict[str, Annotated[float, Field(ge=0)]] | None = None
    """Of each member, adding up to 1; by default all the same. Weights that are fitted on the val split by log loss
    are tried beside them."""
    distil: DistilConfig | None = DistilConfig(weight=0.7)
    """How the single network of ``model``, ``train`` and ``recipes`` learns from the vote; ``null`` lets it learn from
    the labels alone."""


def check_members(members: dict[str, MemberConfig], ensemble: EnsembleConfig, image_size: int) -> None:
    """Refuse members that cannot vote together.

    Raises:
        ValueError: If a name, an image size or a weight does not suit.
    """
    for name, member in members.items():
        if not NAME.fullmatch(name) or name in RESERVED:
            raise ValueError(
                f"members: {name!r} is no name: lower-case letters, digits and dashes, and none of "
                f"{', '.join(sorted(RESERVED))}"
            )
        if member.model.image_size != image_size:
            raise ValueError(
                f"members.{name}.model.image_size is {member.model.image_size}, model.image_size {image_size}: one "
                "image goes to all members"
            )
    if len(members) == 1:
        raise ValueError("members: a vote needs two at least")
    if ensemble.weights is None:
        return
    if ensemble.weights.keys() != members.keys():
        raise ValueError(
            f"ensemble.weights are of {', '.join(ensemble.weights) or 'nobody'}, members are {', '.join(members)}"
        )
    if abs(sum(ensemble.weights.values()) - 1) > 1e-6:
        raise ValueError(f"ensemble.weights add up to {sum(ensemble.weights.values()):g}, not to 1")
