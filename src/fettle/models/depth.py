"""Blocks that a network can do without: those that give what they take, so that the rest fits together again."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fettle.errors import ArtifactError
from fettle.models.watch import call_watched

LAYERS = (nn.Conv2d, nn.Linear)
PLACE = ("i", "f", "type", "np")  # what Ultralytics' networks note of where a layer stands
LEAST = 2  # layers of a block: one alone is no block


def skip_blocks(model: nn.Module, names: Sequence[str]) -> None:
    """Replace blocks by nothing, in place.

    Raises:
        ArtifactError: If ``model`` has no such module.
    """
    for name in names:
        try:
            block = model.get_submodule(name)
        except AttributeError:
            raise ArtifactError(f"{name!r} is to be skipped, but the network has no such block.") from None
        nothing = nn.Identity()
        keep_place(block, nothing)
        model.set_submodule(name, nothing)


def keep_place(old: nn.Module, new: nn.Module) -> None:
    """Have ``new`` stand where ``old`` does, in networks that go by such notes."""
    for name in PLACE:
        if hasattr(old, name):
            setattr(new, name, getattr(old, name))


def find_blocks(model: nn.Module, example_input: torch.Tensor) -> list[str]:
    """Return the names of the blocks whose output has the shape of their input, outermost first, in their order.

    A sequence of blocks is none itself. Whether one can be spared is for others to measure: a residual block often
    can (Huang et al. 2016, arXiv:1603.09382; Veit et al. 2016, arXiv:1605.06431).

    Args:
        model: Network in eval mode.
        example_input: (N, 3, S, S) float32.
    """
    shapes: dict[str, tuple[torch.Size, torch.Size]] = {}

    def note(name: str, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if name and len(inputs) == 1 and isinstance(inputs[0], torch.Tensor) and isinstance(output, torch.Tensor):
            shapes[name] = (inputs[0].shape, output.shape)

    call_watched(model, example_input, note)
    found: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{block}.") for block in found)
        if not inside and name in shapes and _is_block(module) and shapes[name][0] == shapes[name][1]:
            found.append(name)
    return found


def _is_block(module: nn.Module) -> bool:
    if isinstance(module, nn.Sequential | nn.ModuleList):
        return False
    return sum(isinstance(layer, LAYERS) for layer in module.modules()) >= LEAST
