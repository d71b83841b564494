"""Which blocks a trained network misses least."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fettle.models.depth import find_blocks, skip_blocks

TINY = 1e-12


def rank_blocks(model: nn.Module, images: torch.Tensor, *, keep: Sequence[str] = ()) -> dict[str, float]:
    """Return the blocks that could be skipped, those that are missed least first.

    Args:
        model: Network in eval mode.
        images: (N, 3, S, S) float32, normalized.
        keep: Names of layers that must stay.

    Returns:
        Name -> power of the change of the network's output when this block alone is skipped, as a share of the output's
        variance over the images.
    """
    wanted = _answers(model, images)
    changes = {}
    for name in find_blocks(model, images[:1]):
        if any(layer.startswith(f"{name}.") for layer in keep):
            continue
        skipped = copy.deepcopy(model)
        skip_blocks(skipped, [name])
        changes[name] = _change(_answers(skipped, images), wanted)
    return dict(sorted(changes.items(), key=lambda entry: entry[1]))


def _answers(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        answer: Any = model(images)
    return answer if isinstance(answer, torch.Tensor) else answer[-1]


def _change(answer: torch.Tensor, wanted: torch.Tensor) -> float:
    spread = (wanted - wanted.mean(0, keepdim=True)).square().sum()
    return float((answer - wanted).square().sum() / spread.clamp_min(TINY))
