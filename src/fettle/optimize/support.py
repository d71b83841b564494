"""Which precision which runtime can do, and which hardware a recipe needs."""

from collections.abc import Mapping, Sequence

from fettle.hardware import Passport
from fettle.spec import QuantizeConfig, Recipe, RecipeStep

RUNTIMES: Mapping[str, tuple[str, ...]] = {
    "float32": ("onnxruntime", "openvino"),
    "int8": ("onnxruntime", "openvino"),
    "int8-dynamic": ("onnxruntime",),
    "fp16": ("onnxruntime", "openvino"),
    "bf16": ("openvino",),
    "tensorrt": ("tensorrt",),
}


def runtimes_for(step: RecipeStep, wanted: Sequence[str]) -> list[str]:
    """Return those of the ``wanted`` runtimes in which ``step`` gives a candidate, in their order."""
    return [runtime for runtime in wanted if runtime in RUNTIMES[_lever(step)]]


def missing_hardware(recipe: Recipe, machine: Passport) -> str | None:
    """Return what ``recipe`` needs that ``machine`` does not have, in words, or ``None``."""
    levers = {_lever(step) for step in recipe if step.kind in ("quantize", "tensorrt")}
    if "tensorrt" in levers and machine.gpu is None:
        return "TensorRT builds engines on an NVIDIA GPU, and this machine has none."
    if "bf16" in levers and not machine.native_bf16:
        return f"bf16 needs AVX-512 BF16, AMX or Arm BF16, which {machine.cpu} does not have."
    return None


def _lever(step: RecipeStep) -> str:
    config = step.config
    if not isinstance(config, QuantizeConfig):
        return step.kind
    return "int8-dynamic" if config.precision == "int8" and config.mode == "dynamic" else config.precision
