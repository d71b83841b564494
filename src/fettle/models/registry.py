"""The registry of model families: a family is one file under ``families/``, found by being there.

::

    # families/tinynet.py
    @register("tinynet", task="classify")
    def tinynet(classes: int, *, image_size: int, pretrained: bool, width: int = 16) -> nn.Module: ...

Keyword arguments beyond ``image_size`` and ``pretrained`` are the family's options (``model.options`` in the spec).
"""

import difflib
import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Protocol, TypeVar

from torch import nn

from fettle.errors import FettleError, SpecError
from fettle.models import families
from fettle.models.architecture import Architecture
from fettle.models.plan import apply_plan
from fettle.models.weights import load_weights


class Family(Protocol):
    """Builds the network of a family, freshly initialized or with the weights that its makers publish."""

    def __call__(self, classes: int, *, image_size: int, pretrained: bool, **options: Any) -> nn.Module: ...


Builder = TypeVar("Builder", bound=Family)
_FAMILIES: dict[tuple[str, str], Family] = {}


def register(name: str, *, task: str) -> Callable[[Builder], Builder]:
    """Return a decorator that makes a builder known as ``name`` for ``task``."""

    def decorate(builder: Builder) -> Builder:
        _FAMILIES[task, name] = builder
        return builder

    return decorate


def family_names(task: str) -> list[str]:
    """Return the names of Fettle's own families for ``task``; any timm name works for ``classify`` too."""
    return sorted(name for of_task, name in _discovered() if of_task == task)


def build_model(architecture: Architecture, *, weights: str = "none") -> nn.Module:
    """Build the network of ``architecture``.

    Args:
        architecture: What to build; its plan, if any, is applied.
        weights: ``none`` (initialized from torch's global random state), ``imagenet`` (downloaded by timm), or the
            path of a ``.safetensors`` file or a model artifact.

    Returns:
        A network that maps normalized images (N, 3, S, S) float32 to logits (N, C).

    Raises:
        SpecError: If the family, an option or ``weights`` is not known or does not fit.
    """
    builder = _find(architecture.task, architecture.family)
    model = _call(builder, architecture, pretrained=weights == "imagenet")
    if architecture.plan is not None:
        apply_plan(model, architecture.plan)
    if weights not in ("none", "imagenet"):
        load_weights(model, weights)
    return model


def _find(task: str, name: str) -> Family:
    known = _discovered()
    builder = known.get((task, name))
    if builder is None and task in _FALLBACKS:
        builder = _FALLBACKS[task](name)
    if builder is None:
        names = [*family_names(task), *_fallback_names(task)]
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see `timm.list_models()` for the names."
        raise SpecError(f"`model.family` {name!r} is not known for task {task!r}: {hint}")
    return builder


def _call(builder: Family, architecture: Architecture, *, pretrained: bool) -> nn.Module:
    options = dict(architecture.options)
    try:
        return builder(len(architecture.classes), image_size=architecture.image_size, pretrained=pretrained, **options)
    except FettleError:
        raise
    except OSError as error:
        raise SpecError(f"`model.weights: imagenet` could not be downloaded ({error}): use a file or none.") from error
    except (TypeError, ValueError, KeyError, AssertionError, RuntimeError) as error:
        raise SpecError(
            f"`model.options` {options} or `model.weights` do not fit family {architecture.family!r}: {error}"
        ) from error


@cache
def _discovered() -> dict[tuple[str, str], Family]:
    for module in pkgutil.iter_modules(families.__path__):
        import_module(f"{families.__name__}.{module.name}")
    return _FAMILIES


def _timm_builder(name: str) -> Family | None:
    from fettle.models.timm_model import find

    return find(name)


def _fallback_names(task: str) -> list[str]:
    from fettle.models.timm_model import names

    return names() if task in _FALLBACKS else []


_FALLBACKS: dict[str, Callable[[str], Family | None]] = {"classify": _timm_builder}
