"""Structured channel pruning: a trained network in, a smaller dense network out.

What share of the *channels* removes the wanted share of parameters or multiply-accumulates depends
on the network and on the rounding of its widths: it is found by bisection.
"""

import copy
import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import nn

from fettle.errors import OptimizeError
from fettle.optimize.channels import (
    Batches,
    Kept,
    accumulate_gradients,
    names_of,
    output_layers,
    remove_channels,
)
from fettle.spec import PruneConfig

PROBES = 10
NEAR = 0.005  # that much more than is wanted ends the bisection
TOLERANCE = 0.05


@dataclass(frozen=True)
class Cost:
    """What a network costs for one image."""

    params: int
    macs: int


@dataclass(frozen=True)
class PruneResult:
    """A pruned network and what was removed.

    Attributes:
        model: The smaller network, in eval mode.
        kept: Which outputs its narrower layers still have.
        before: Cost of the given network.
        after: Cost of the smaller one.
    """

    model: nn.Module
    kept: Kept
    before: Cost
    after: Cost

    def removed(self, of: str) -> float:
        """Return the share of ``params`` or ``macs`` that went."""
        return 1.0 - float(getattr(self.after, of)) / float(getattr(self.before, of))


def prune(
    model: nn.Module,
    config: PruneConfig,
    *,
    example_input: torch.Tensor,
    keep: Sequence[nn.Module] = (),
    batches: Batches | None = None,
) -> PruneResult:
    """Return a smaller copy of ``model``; the original is untouched.

    Args:
        model: Trained network on the CPU, in the form of :func:`fettle.models.prunable.make_prunable`.
        config: How much to prune, and by which importance.
        example_input: One batch, (N, 3, S, S) float32.
        keep: Layers whose outputs stay as they are, beside those that give the answer and those that ``config.keep``
            names.
        batches: Normalized images (N, 3, S, S) float32 and labels (N,) int64, for ``taylor`` only.

    Raises:
        OptimizeError: If nothing was removed, the share is out of reach, or the network cannot be pruned.
    """
    ranked = copy.deepcopy(model).eval()
    names = [*output_layers(ranked, example_input), *names_of(model, keep), *_known(model, config.keep)]
    if config.importance == "taylor":
        accumulate_gradients(ranked, batches or ())
    before = measure(model, example_input)
    low, high = 0.0, 1.0
    under: PruneResult | None = None
    over: PruneResult | None = None
    for _ in range(PROBES):
        share = (low + high) / 2
        pruned, kept = remove_channels(ranked, config, share, example_input=example_input, keep=names)
        pruned.zero_grad(set_to_none=True)
        result = PruneResult(pruned, kept, before, measure(pruned, example_input))
        removed = result.removed(config.by)
        if removed < config.ratio:
            low, under = share, result
        else:
            high, over = share, result
        if config.ratio <= removed <= config.ratio + NEAR:
            break
    return _choose([result for result in (over, under) if result], config)


def measure(model: nn.Module, example_input: torch.Tensor) -> Cost:
    """Count parameters, and multiply-accumulates of one image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macs, params = tp.utils.count_ops_and_params(model, example_input[:1])
    return Cost(int(params), int(macs))


def _choose(results: Sequence[PruneResult], config: PruneConfig) -> PruneResult:
    """Return the first of ``results`` that removes something and about what is wanted."""
    smaller = [result for result in results if result.after.macs < result.before.macs]
    for result in smaller:
        if abs(result.removed(config.by) - config.ratio) <= TOLERANCE:
            return result
    shares = " or ".join(f"{result.removed(config.by):.1%}" for result in smaller) or "nothing"
    raise OptimizeError(
        f"`prune.ratio` {config.ratio:.1%} of the {config.by} is out of reach with `width_step` {config.width_step}: "
        f"{shares} can be removed. Take a smaller `width_step` or another `ratio`."
    )


def _known(model: nn.Module, wanted: Sequence[str]) -> list[str]:
    """Return ``wanted``, each the name of a module."""
    names = [name for name, _ in model.named_modules()]
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see `print(model)` for the names."
            raise OptimizeError(f"`prune.keep` names {name!r}, which the network has not: {hint}")
    return list(wanted)
