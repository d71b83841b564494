"""The whole spec."""

from typing import Any, Self

from pydantic import Field, model_validator

from fettle.spec.base import RuntimeName, Section, Task
from fettle.spec.cluster import ClusterConfig
from fettle.spec.dataset import DatasetConfig
from fettle.spec.detections import DetectionConfig
from fettle.spec.ensemble import EnsembleConfig, MemberConfig, check_members
from fettle.spec.gates import BenchmarkConfig, GateConfig
from fettle.spec.model import ModelConfig
from fettle.spec.presets import with_family_preset
from fettle.spec.recipes import DISTILLED, Recipe, check_recipes, without_distillation
from fettle.spec.serve import ServeConfig
from fettle.spec.train import TrainConfig
from fettle.spec.tune import TuneConfig


class Spec(Section):
    """Labelled images to a confirmed model on Triton."""

    name: str = Field("castings", pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=50)
    """Name of the project: lower-case letters, digits and dashes. Runs and the served model bear it."""
    task: Task = "classify"
    """What the model does: ``classify``, ``detect`` (boxes), or ``embed`` (points that tell identities apart)."""
    runs: str = "runs"
    """Folder for the artifacts of local runs."""
    dataset: DatasetConfig = DatasetConfig()
    """Labelled images."""
    model: ModelConfig = ModelConfig()
    """The network."""
    train: TrainConfig = TrainConfig()
    """How it is fitted."""
    members: dict[str, MemberConfig] = {}
    """Classifiers that vote (``fettle ensemble``). With members, ``model``, ``train`` and ``recipes`` are those of a
    single network that learns from the vote."""
    ensemble: EnsembleConfig = EnsembleConfig()
    """How members vote."""
    detections: DetectionConfig = DetectionConfig()
    """For ``detect``: what the served model answers."""
    tune: TuneConfig = TuneConfig()
    """Hyperparameter search before training."""
    recipes: dict[str, Recipe] = Field({}, validate_default=True)
    """Named optimization paths; the baseline is always there."""
    runtimes: list[RuntimeName] = Field(["onnxruntime", "openvino"], min_length=1)
    """Runtimes that every exported model is tried in."""
    gates: GateConfig = GateConfig()
    """Floors that a candidate must hold."""
    benchmark: BenchmarkConfig = BenchmarkConfig()
    """How speed is measured."""
    serve: ServeConfig = ServeConfig()
    """Promotion and serving."""
    cluster: ClusterConfig = ClusterConfig()
    """What the steps get on Kubernetes (``fettle submit``)."""

    @property
    def networks(self) -> tuple[ModelConfig, ...]:
        """All that are trained."""
        return self.model, *(member.model for member in self.members.values())

    @property
    def pretrained(self) -> bool:
        """Whether a network starts from weights that have to be downloaded."""
        return any(network.weights == "imagenet" for network in self.networks)

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_family(cls, values: Any) -> Any:
        """A family of detectors or embeddings brings its preset."""
        task = values.get("task", "classify") if isinstance(values, dict) else ""
        return with_family_preset(values, task=str(task))

    @model_validator(mode="before")
    @classmethod
    def _one_image_for_all(cls, values: Any) -> Any:
        """Members take the image size of the whole."""
        if not isinstance(values, dict) or not isinstance(members := values.get("members"), dict):
            return values
        size = {"image_size": values["model"]["image_size"]} if "image_size" in (values.get("model") or {}) else {}
        sized = {
            name: {**member, "model": {**size, **member.get("model", {})}}
            if isinstance(member, dict) and isinstance(member.get("model", {}), dict)
            else member
            for name, member in members.items()
        }
        return {**values, "members": sized}

    @model_validator(mode="before")
    @classmethod
    def _teach_those_who_can_be_taught(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("task", "classify") in DISTILLED or "recipes" not in values:
            return values
        return {**values, "recipes": without_distillation(values["recipes"])}

    @model_validator(mode="after")
    def _recipes_make_sense(self) -> Self:
        check_recipes(self.recipes)
        averaged = next((name for name, recipe in self.recipes.items() if any(step.tta for step in recipe)), None)
        if averaged and self.task == "detect":
            raise ValueError(f"recipe {averaged!r}: tta is for classifiers and embeddings, boxes have no mean")
        return self

    @model_validator(mode="after")
    def _members_can_vote(self) -> Self:
        if self.members and self.task != "classify":
            raise ValueError(f"members: classifiers vote, and the task is {self.task}")
        check_members(self.members, self.ensemble, self.model.image_size)
        for name, member in self.members.items():
            if member.voting_runtime not in self.runtimes:
                raise ValueError(f"members.{name}.votes: {member.voting_runtime} is not among runtimes")
        return self
