"""The form of a network that pruning can follow."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from fettle.models.architecture import Architecture

Prunable = tuple[nn.Module, Architecture]


def make_prunable(model: nn.Module, architecture: Architecture) -> Prunable:
    """Return the same function in a form that can be pruned, and the architecture that rebuilds it.

    Args:
        model: Network of ``architecture``; it may be changed in place.
        architecture: Without a plan, or with one that was made of a prunable form.
    """
    form = FORMS.get(architecture.family)
    return form(model, architecture) if form else (model, architecture)


def _split_c2f(model: nn.Module, architecture: Architecture) -> Prunable:
    from fettle.models.yolov8.network import split

    detector: Any = getattr(model, "detector", model)
    split(detector)
    return model, replace(architecture, options={**architecture.options, "split_c2f": True})


FORMS: Mapping[str, Callable[[nn.Module, Architecture], Prunable]] = {"yolov8": _split_c2f}
