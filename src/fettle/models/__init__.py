"""Model families, pruning plans and weights.

The names below are imported when they are first used: ``Architecture`` needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fettle.models.architecture import IMAGENET_MEAN, IMAGENET_STD, Architecture
    from fettle.models.files import load_model, save_model
    from fettle.models.plan import apply_plan, read_plan
    from fettle.models.registry import build_model, family_names, register

_HOMES = {
    "IMAGENET_MEAN": "architecture",
    "IMAGENET_STD": "architecture",
    "Architecture": "architecture",
    "apply_plan": "plan",
    "build_model": "registry",
    "family_names": "registry",
    "load_model": "files",
    "read_plan": "plan",
    "register": "registry",
    "save_model": "files",
}

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Architecture",
    "apply_plan",
    "build_model",
    "family_names",
    "load_model",
    "read_plan",
    "register",
    "save_model",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
