"""The registry of model families: a family is one file under ``families/``, found by being there.

::

    # families/tinynet.py
    @register("tinynet", task="classify")
    def tinynet(classes: int, *, image_size: int, pretrained: bool, width: int = 16) -> nn.Module: ...

Keyword arguments beyond ``image_size`` and ``pretrained`` are the family's options (``model.options`` in the spec).
"""

import difflib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from torch import nn

from fettle.data.dataset import Subset
from fettle.errors import FettleError, SpecError
from fettle.models import families
from fettle.models.architecture import IMAGENET_MEAN, IMAGENET_STD, Architecture
from fettle.models.depth import skip_blocks
from fettle.models.input_size import look_at_smaller
from fettle.models.plan import apply_plan
from fettle.models.weights import load_weights

Channels = tuple[float, float, float]
Measure = Callable[[Subset, int], Mapping[str, Any]]  # training images, image size


@dataclass(frozen=True)
class Family:
    """What is known of a family beside how it is built.

    Attributes:
        build: ``(classes, *, image_size, pretrained, **options)`` to the network, freshly initialized or with the
            weights that its makers publish.
        weights: The ``model.weights`` under which its makers publish theirs.
        mean: Of each RGB channel, for pixels in [0, 1], as the network expects them.
        std: Of each RGB channel.
        measure: Options that the training images decide where the spec does not, such as anchors.
    """

    build: Callable[..., nn.Module]
    weights: str = "imagenet"
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    measure: Measure = lambda _train, _image_size: {}


Builder = TypeVar("Builder", bound=Callable[..., nn.Module])
_FAMILIES: dict[tuple[str, str], Family] = {}


def register(name: str, *, task: str, **about: Any) -> Callable[[Builder], Builder]:
    """Return a decorator that makes a builder known as ``name`` for ``task``; the rest as in :class:`Family`."""

    def decorate(builder: Builder) -> Builder:
        _FAMILIES[task, name] = Family(builder, **about)
        return builder

    return decorate


def family_names(task: str) -> list[str]:
    """Return the names of Fettle's own families for ``task``; any timm name works for ``classify`` too."""
    return sorted(name for of_task, name in _discovered() if of_task == task)


def build_model(architecture: Architecture, *, weights: str = "none") -> nn.Module:
    """Build the network of ``architecture``.

    Args:
        architecture: What to build; its plan, if any, is applied.
        weights: ``none`` (initialized from torch's global random state), the name under which the family's makers
            publish theirs (``imagenet``, ``coco``: downloaded), or the path of a ``.safetensors`` file or a model
            artifact.

    Returns:
        A network that maps normalized images (N, 3, S, S) float32 to what its task is: logits (N, C), or boxes
        (N, A, 4) and scores (N, A, C).

    Raises:
        SpecError: If the family, an option or ``weights`` is not known or does not fit.
    """
    family = find_family(architecture.task, architecture.family)
    model = _call(family, architecture, pretrained=weights == family.weights)
    skip_blocks(model, architecture.skipped)
    if architecture.plan is not None:
        apply_plan(model, architecture.plan)
    if architecture.input_size is not None:
        look_at_smaller(model, image_size=architecture.image_size, input_size=architecture.input_size)
    if weights not in ("none", family.weights):
        load_weights(model, weights)
    return model


def measured(architecture: Architecture, train: Subset) -> Architecture:
    """Return ``architecture`` with the options that its family takes from the training images."""
    found = find_family(architecture.task, architecture.family).measure(train, architecture.image_size)
    return replace(architecture, options={**found, **architecture.options})


def find_family(task: str, name: str) -> Family:
    """Return a family by name.

    Raises:
        SpecError: If there is none, with names like it.
    """
    family = _discovered().get((task, name))
    if family is None and task in _FALLBACKS:
        family = _FALLBACKS[task](name)
    if family is None:
        names = [*family_names(task), *_fallback_names(task)]
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else _HINTS.get(task, f"there are {', '.join(names)}.")
        raise SpecError(f"`model.family` {name!r} is not known for task {task!r}: {hint}")
    return family


def _call(family: Family, architecture: Architecture, *, pretrained: bool) -> nn.Module:
    options = dict(architecture.options)
    try:
        return family.build(
            len(architecture.classes), image_size=architecture.image_size, pretrained=pretrained, **options
        )
    except FettleError:
        raise
    except OSError as error:
        raise SpecError(
            f"`model.weights: {family.weights}` could not be downloaded ({error}): use a file or none."
        ) from error
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

    builder = find(name)
    return Family(builder) if builder else None


def _fallback_names(task: str) -> list[str]:
    from fettle.models.timm_model import names

    return names() if task in _FALLBACKS else []


_FALLBACKS: dict[str, Callable[[str], Family | None]] = {"classify": _timm_builder}
_HINTS = {"classify": "see `timm.list_models()` for the names."}
