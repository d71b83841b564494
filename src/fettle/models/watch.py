"""Look at what a network's modules take and give during one call."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

Note = Callable[[str, nn.Module, tuple[Any, ...], Any], None]  # name, module, inputs, output


def call_watched(model: nn.Module, example_input: torch.Tensor, note: Note) -> None:
    """Call ``model`` once, without gradients, and tell ``note`` of each of its modules as soon as it has answered.

    Args:
        model: Any network.
        example_input: What it takes.
        note: Called with the module's name, the module, its inputs and its output.
    """
    hooks = [module.register_forward_hook(partial(_tell, note, name)) for name, module in model.named_modules()]
    try:
        with torch.no_grad():
            model(example_input)
    finally:
        for hook in hooks:
            hook.remove()


def _tell(note: Note, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    note(name, module, inputs, output)
