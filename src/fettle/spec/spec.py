"""The whole spec."""

from typing import Any, Self

from pydantic import Field, model_validator

from fettle.spec.base import RuntimeName, Section, Task
from fettle.spec.dataset import DatasetConfig
from fettle.spec.detections import DetectionConfig
from fettle.spec.gates import BenchmarkConfig, GateConfig
from fettle.spec.model import ModelConfig
from fettle.spec.presets import FAMILY_PRESETS
from fettle.spec.recipes import DISTILLED, Recipe, check_recipe, without_distillation
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

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_family(cls, values: Any) -> Any:
        """A family of detectors or embeddings brings its preset."""
        if not isinstance(values, dict) or not all(isinstance(values.get(key, {}), dict) for key in ("model", "train")):
            return values
        family = str(values.get("task")), str(values.get("model", {}).get("family"))
        if family not in FAMILY_PRESETS:
            return values
        return {**values, "train": {"preset": FAMILY_PRESETS[family], **values.get("train", {})}}

    @model_validator(mode="before")
    @classmethod
    def _teach_those_who_can_be_taught(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("task", "classify") in DISTILLED or "recipes" not in values:
            return values
        return {**values, "recipes": without_distillation(values["recipes"])}

    @model_validator(mode="after")
    def _recipes_make_sense(self) -> Self:
        for name, recipe in self.recipes.items():
            check_recipe(name, recipe)
        if "baseline" in self.recipes:
            raise ValueError("recipes: the name baseline is taken by the unoptimized model")
        return self
