"""Groups of channels that go together: how wide each may be, and which layers become narrower with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fettle.optimize.channels import PRUNABLE, make_pruner
from fettle.spec import PruneConfig


@dataclass(frozen=True)
class Group:
    """Channels of one layer, and all that are coupled with them.

    Attributes:
        root: Name of the layer that stands for the group.
        width: Its channels.
        importance: Of each, the least first; comparable between groups only for ``taylor``.
        outputs: Layer -> how many of its outputs go with one channel.
        inputs: Layer -> how many of its inputs do.
        params: Weights that go with one channel, while the rest is as it is.
    """

    root: str
    width: int
    importance: tuple[float, ...]
    outputs: Mapping[str, int]
    inputs: Mapping[str, int]
    params: float


def find_groups(
    model: nn.Module, config: PruneConfig, *, example_input: torch.Tensor, keep: Sequence[str]
) -> list[Group]:
    """Return the groups of ``model`` that can be pruned.

    Args:
        model: Network in eval mode, with gradients for ``taylor``.
        config: Whose ``importance`` ranks channels.
        example_input: One batch, (N, 3, S, S) float32.
        keep: Names of layers whose outputs stay.

    Raises:
        OptimizeError: If Torch-Pruning does not understand the network.
    """
    pruner = make_pruner(model, config, 0.5, example_input=example_input, keep=keep)
    names = {module: name for name, module in model.named_modules()}
    found = []
    for group in pruner.DG.get_all_groups(
        ignored_layers=pruner.ignored_layers, root_module_types=pruner.root_module_types
    ):
        root = group[0].dep.target.module
        width = pruner.DG.get_out_channels(root)
        importance = pruner.estimate_importance(group)
        if importance is None or width < 2 or pruner._get_channel_groups(group) > 1:
            continue  # groups of a convolution have to stay of one size: Torch-Pruning's own rules are for them
        outputs, inputs, params = dict[str, int](), dict[str, int](), 0.0
        for dep, channels in group:
            module = dep.target.module
            if not isinstance(module, PRUNABLE):
                continue
            is_out = pruner.DG.is_out_channel_pruning_fn(dep.handler)
            side = outputs if is_out else inputs
            side[names[module]] = side.get(names[module], 0) + len(channels) // width
            params += module.weight.numel() / (module.weight.shape[0] if is_out else module.weight.shape[1])
        ranked = tuple(sorted(importance.flatten().tolist()))
        found.append(Group(names[root], width, ranked, outputs, inputs, params))
    return found
