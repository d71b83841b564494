"""``recipes``: named paths of optimization steps; each path ends in one candidate a runtime."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fettle.spec.base import Precision, Section
from fettle.spec.search import SearchConfig
from fettle.spec.train import DistilConfig

Importance = Literal["l1", "group_norm", "taylor"]


class SpeedConfig(Section):
    """Prune to a speed that is measured, not to a share: in the runtime and precision that will serve."""

    times: float = Field(gt=1, le=20)
    """How many times as fast as the whole network, both in that runtime and precision, at batch 1 on this machine."""
    runtime: Literal["onnxruntime", "openvino"] = "openvino"
    """Where it is timed."""
    precision: Precision = "int8"
    """In which it is timed; what the recipe ends in."""
    width_steps: list[Annotated[int, Field(ge=1)]] = Field([8, 16, 32], min_length=1)
    """Widths stay multiples of one of these: which is fastest depends on the machine."""


class PruneConfig(Section):
    """Structured channel pruning with Torch-Pruning (Fang et al. 2023)."""

    ratio: float = Field(0.3, gt=0, lt=1)
    """Share to remove of what ``by`` counts."""
    by: Literal["params", "macs"] = "params"
    """Count parameters or multiply-accumulates."""
    importance: Importance = "group_norm"
    """How a group of coupled channels is ranked."""
    scope: Literal["global", "layer"] = "layer"
    """Remove the same share of every layer, or rank channels over the whole network. ``global`` thins out late layers,
    which hold the parameters and not the work: 30% of a trained ResNet-18's were 13% of its multiply-accumulates,
    and 34% by ``layer``."""
    width_step: int = Field(16, ge=1)
    """Widths stay multiples of this: kernels are slow at odd widths. 32 was faster still for ResNets in OpenVINO, and
    too coarse for narrow networks."""
    reconstruct: bool = True
    """Fit the layers that are left to what those of the whole network answer to some training images, without labels
    (least squares, He et al. 2017): a network that pruning broke comes back most of the way before it is trained."""
    speed: SpeedConfig | None = None
    """Find the smallest ``ratio``, and the ``width_step``, that make the network so much faster, by measuring; these
    keys are then passed over."""
    keep: list[str] = []
    """Names of modules whose outputs are left as they are, beside the classifier."""


class FinetuneConfig(Section):
    """Training after pruning, with the keys of ``train`` that differ."""

    epochs: int = Field(5, ge=1)
    """Passes over the training split."""
    lr: float = Field(3e-4, gt=0, le=10)
    """Peak learning rate."""
    distil: DistilConfig | None = DistilConfig()
    """Learn from the unpruned parent too; ``null`` switches it off. Detectors learn from the boxes alone."""
    qat: bool = False
    """Quantization-aware training (Jacob et al. 2018): layers round their inputs and weights to INT8 while they learn.
    For networks that quantization alone costs too much; the recipe quantizes as usual afterwards."""


View = Literal["plain", "flip", "rotate_left", "rotate_right", "contrast_up", "contrast_down"]


class TtaConfig(Section):
    """Test-time augmentation, compiled into the graph: one request, one answer, the mean over fixed views.

    It costs as many passes as there are views, and stays only if the accuracy that it brings is more than chance.
    """

    views: list[View] = Field(["plain", "flip", "rotate_left", "rotate_right", "contrast_up"], min_length=2)
    """What the network sees of each image; for embeddings take ``plain`` and ``flip``."""
    degrees: float = Field(8.0, gt=0, le=45)
    """Angle of the turns."""
    jitter: float = Field(0.2, gt=0, lt=1)
    """Change of contrast."""


class QuantizeConfig(Section):
    """Lower precision of an exported model."""

    precision: Precision = "int8"
    """``int8`` (static, calibrated on the calib split), ``bf16`` or ``fp16``."""
    mode: Literal["static", "dynamic"] = "static"
    """``dynamic`` quantizes weights ahead and activations while running: the classic method for linear layers,
    measured to be slower than float for convolutions."""
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    """How activation ranges are chosen."""
    images: int = Field(200, ge=1)
    """Calibration images, taken from the calib split."""
    bias_correction: Literal["fast", "accurate"] = "fast"
    """How OpenVINO's quantizer takes back the shift of a layer's mean: layer by layer, or behind all layers before it,
    which takes longer (Nagel et al. 2019). ONNX Runtime's has none."""
    smooth_quant: float | None = Field(None, ge=0, le=1)
    """Let weights take over the outliers of activations before they are rounded, by this power (SmoothQuant, Xiao et
    al. 2023): for linear layers, in OpenVINO, such as those of transformers."""
    keep_float: list[str] = []
    """Regular expressions of node names that stay in float; a layer's activation stays with it."""
    reduce_range: bool | None = None
    """Weights in 7 bits instead of 8, for ``int8`` that is static: x86 CPUs without VNNI add products in 16 bits, which
    overflow (a YOLOv8n lost 2.6 points of mAP50 by it, and .1 with this). ``null``: where the machine that quantizes is
    such a CPU; set it where others than that one will serve."""
    max_drop: float | None = Field(None, ge=0, lt=1)
    """Largest accuracy (for detectors mAP50) that ``int8`` may lose on the calib split. Where it loses more, other
    ranges and corrections are tried, which cost no speed; then the layers that suffer most are left in float until it
    holds, or the step says that it cannot. ``null`` quantizes all layers and leaves the judgement to the gates."""

    @model_validator(mode="after")
    def _a_drop_is_of_int8(self) -> Self:
        if self.max_drop is not None and self.precision != "int8":
            raise ValueError(f"max_drop is for int8, which layers can be exempt from, not for {self.precision}")
        return self


class TensorRTConfig(Section):
    """A TensorRT engine, built on the GPU that will serve it."""

    precision: Literal["float32", "fp16", "int8"] = "fp16"
    """Precision written into the ONNX graph before the build (strongly typed network)."""
    workspace_gb: float = Field(4.0, gt=0)
    """Memory that the builder may use."""
    max_batch: int = Field(16, ge=1, le=1024)
    """Largest batch that the engine takes; ``serve.max_batch`` must not be larger."""


class RecipeStep(Section):
    """Exactly one of these."""

    prune: PruneConfig | None = None
    """Remove channels."""
    finetune: FinetuneConfig | None = None
    """Train on, after pruning."""
    tta: TtaConfig | None = None
    """Average over views of the image, for classifiers and embeddings; after training, before lower precision."""
    quantize: QuantizeConfig | None = None
    """Lower the precision of the export; a recipe's last step."""
    tensorrt: TensorRTConfig | None = None
    """Build an engine; a recipe's last step."""
    search: SearchConfig | None = None
    """Find the rest of the recipe by measuring; a recipe's last step, and it ends in several candidates."""

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, values: object) -> object:
        """``- finetune`` and ``- finetune:`` both mean the step with its defaults."""
        if isinstance(values, str):
            values = {values: {}}
        if isinstance(values, dict) and list(values.values()) == [None]:
            values = {key: {} for key in values}
        return values

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self._given()) != 1:
            raise ValueError(f"a recipe step is one of {', '.join(type(self).model_fields)}")
        return self

    def _given(self) -> list[str]:
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    @property
    def kind(self) -> str:
        return self._given()[0]

    @property
    def config(self) -> Section:
        config = getattr(self, self.kind)
        assert isinstance(config, Section)
        return config


Recipe = list[RecipeStep]
BASELINE = "baseline"  # the recipe without a step, which every network has
TORCH_STEPS = ("prune", "finetune")
# How far on the way to a served file a step is: none may follow one that is further, or another of the last two kinds.
STAGES: Mapping[str, int] = {"prune": 0, "finetune": 0, "tta": 1, "quantize": 2, "tensorrt": 2, "search": 2}
DISTILLED = frozenset({"classify", "embed"})  # tasks whose fine-tuning can learn from a teacher's outputs
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def without_distillation(recipes: Any) -> Any:
    """Return recipes, as written, for a task that is not among :data:`DISTILLED`: ``distil`` is off by default.

    Raises:
        ValueError: If it is asked for.
    """
    if not isinstance(recipes, dict):
        return recipes
    return {
        name: [_untaught(name, step) for step in recipe] if isinstance(recipe, list) else recipe
        for name, recipe in recipes.items()
    }


def _untaught(name: str, step: Any) -> Any:
    if step == "finetune":
        step = {"finetune": None}
    if not isinstance(step, dict) or not isinstance(step.get("finetune", 0), dict | None):
        return step
    settings = step["finetune"] or {}
    if settings.get("distil") is not None:
        raise ValueError(f"recipe {name!r}: finetune.distil is for classifiers, a detector learns from its boxes alone")
    return {**step, "finetune": {**settings, "distil": None}}


def check_recipes(recipes: Mapping[str, Recipe]) -> None:
    """Refuse recipes that cannot work.

    Raises:
        ValueError: See :func:`check_recipe`; also if one bears the baseline's name.
    """
    for name, recipe in recipes.items():
        check_recipe(name, recipe)
    if BASELINE in recipes:
        raise ValueError("recipes: the name baseline is taken by the unoptimized model")


def check_recipe(name: str, recipe: Recipe) -> None:
    """Refuse an order of steps that cannot work.

    Raises:
        ValueError: If the name is no name for a task, the recipe is empty, or a training step follows an export step.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"recipe {name!r} must be named in lower-case letters, digits and dashes")
    if not recipe:
        raise ValueError(f"recipe {name!r} has no step: the baseline is always there, remove it")
    for before, step in pairwise(recipe):
        if STAGES[step.kind] < STAGES[before.kind] or STAGES[step.kind] == STAGES[before.kind] > 0:
            raise ValueError(
                f"recipe {name!r}: {step.kind} cannot follow {before.kind}; the order is prune and finetune, tta, then "
                "quantize, tensorrt or search"
            )
        if (before.kind, step.kind) == ("tta", "search"):
            raise ValueError(f"recipe {name!r}: search makes a network smaller, and tta shows it more views: leave one")
