"""One pass of Torch-Pruning: a share of the channels goes, coupled channels together.

The dependency graph is that of Fang et al. 2023 (https://arxiv.org/abs/2301.12900).
"""

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch_pruning as tp
from torch import nn

from fettle.errors import OptimizeError
from fettle.models.cbam import unlinked
from fettle.models.layout import memory_format
from fettle.models.watch import call_watched
from fettle.spec import PruneConfig

PRUNABLE = (nn.Conv2d, nn.Linear)
# At most this share of a layer goes, or half of what the target leaves, so that none collapses.
MAX_LAYER_RATIO = 0.75
TIE = 1e-8

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
Share = float | Mapping[str, float]
Kept = Mapping[str, Sequence[int]]  # layer that has lost some of its outputs -> the indices of those that are left

IMPORTANCES: Mapping[str, Callable[[], Any]] = {
    # Of the layer whose outputs go, alone (Li et al. 2017).
    "l1": lambda: tp.importance.GroupMagnitudeImportance(p=1, group_reduction="first"),
    # Of all coupled layers (Fang et al. 2023).
    "group_norm": lambda: tp.importance.GroupMagnitudeImportance(p=2),
    # First-order change of the loss (Molchanov et al. 2019); needs gradients.
    "taylor": lambda: tp.importance.GroupTaylorImportance(),
}


def remove_channels(
    model: nn.Module, config: PruneConfig, share: Share, *, example_input: torch.Tensor, keep: Sequence[str]
) -> tuple[nn.Module, Kept]:
    """Return a copy of ``model`` without its least important channels, and which outputs layers still have.

    Args:
        model: Network in eval mode, with gradients for ``taylor``.
        config: Importance, scope and width step.
        share: Of all channels, in [0, 1); widths are rounded and no layer loses nearly all. Or the share of some layers
            alone, by name; others stay as they are but for those that are coupled with them.
        example_input: One batch, (N, 3, S, S) float32.
        keep: Names of layers whose outputs stay.

    Raises:
        OptimizeError: If Torch-Pruning does not understand the network.
    """
    model = _copy_with_gradients(model)
    names = {module: name for name, module in model.named_modules() if isinstance(module, PRUNABLE)}
    kept: dict[str, Sequence[int]] = {}
    pruner = make_pruner(model, config, share, example_input=example_input, keep=keep)
    with _understood(), torch.no_grad():
        for group in pruner.step(interactive=True):
            for dep, channels in group:
                module, gone = dep.target.module, set(channels)
                if gone and module in names and pruner.DG.is_out_channel_pruning_fn(dep.handler):
                    left = kept.get(names[module], range(len(module.weight)))
                    kept[names[module]] = [old for place, old in enumerate(left) if place not in gone]
            group.prune()
        model(example_input)
    return model, kept


def make_pruner(
    model: nn.Module, config: PruneConfig, share: Share, *, example_input: torch.Tensor, keep: Sequence[str]
) -> "_AlignedPruner":
    """Return what prunes ``model`` in place; see :func:`remove_channels`."""
    modules = dict(model.named_modules())
    shares = share if isinstance(share, Mapping) else None
    with _understood(), unlinked(model):
        pruner = _AlignedPruner(
            model,
            example_input,
            importance=IMPORTANCES[config.importance](),
            global_pruning=config.scope == "global" and shares is None,
            pruning_ratio=share if shares is None else 0.0,
            pruning_ratio_dict=shares and {modules[name]: value for name, value in shares.items()},
            ignored_layers=[modules[name] for name in keep],
            round_to=config.width_step,
        )
    pruner.smallest_share = min(1 - MAX_LAYER_RATIO, (1 - config.ratio) / 2)
    return pruner


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise OptimizeError(f"Torch-Pruning cannot prune this network ({error}): choose another family.") from error


def _copy_with_gradients(model: nn.Module) -> nn.Module:
    copied = copy.deepcopy(model)  # leaves the gradients of parameters behind
    for new, old in zip(copied.parameters(), model.parameters(), strict=True):
        new.grad = old.grad
    return copied


def accumulate_gradients(model: nn.Module, batches: Batches) -> None:
    """Leave the gradients of the loss over ``batches`` in the weights.

    Raises:
        OptimizeError: If there is no image.
    """
    model.requires_grad_(True)
    count, layout = 0, memory_format(model)
    for images, labels in batches:
        images = images.contiguous(memory_format=layout)
        nn.functional.cross_entropy(model(images), labels, reduction="sum").backward()  # type: ignore[no-untyped-call]
        count += len(labels)
    if count == 0:
        raise OptimizeError("`prune.importance: taylor` needs labelled images: the training split is empty.")


def output_layers(model: nn.Module, example_input: torch.Tensor) -> list[str]:
    """Return the names of the layers that give the answer: the model's ``predictors``, else the one called last.

    Raises:
        OptimizeError: If no convolution and no linear layer is called.
    """
    predictors = getattr(model, "predictors", None)
    return [_last_layer(model, example_input)] if predictors is None else names_of(model, predictors)


def names_of(model: nn.Module, modules: Iterable[nn.Module]) -> list[str]:
    wanted = {id(module) for module in modules}
    return [name for name, module in model.named_modules() if id(module) in wanted]


def _last_layer(model: nn.Module, example_input: torch.Tensor) -> str:
    called: list[str] = []

    def note(name: str, module: nn.Module, _: tuple[Any, ...], __: Any) -> None:
        if isinstance(module, PRUNABLE):
            called.append(name)

    call_watched(model, example_input, note)
    if not called:
        raise OptimizeError("The network has no convolution and no linear layer: there is nothing to prune.")
    return called[-1]


class _AlignedPruner(tp.pruner.BasePruner):  # type: ignore[misc]
    """Rounds a layer's width to the *nearest* multiple, and leaves every layer its share.

    The base class rounds down: a single unimportant channel would cost a whole step. And it removes
    all channels of equal importance together, such as those that training has left dead.
    """

    smallest_share: float = 1 - MAX_LAYER_RATIO

    def estimate_importance(self, group: tp.dependency.Group) -> torch.Tensor | None:
        importance: torch.Tensor | None = super().estimate_importance(group)
        return None if importance is None else importance + TIE * torch.arange(len(importance))

    def _round_to(self, n_pruned: int, current_channels: int, round_to: int) -> int:
        floor = min(current_channels, max(round_to, math.ceil(current_channels * self.smallest_share)))
        width = max(round((current_channels - n_pruned) / round_to) * round_to, floor)
        return max(current_channels - width, 0)
