"""Structured channel pruning: a trained network in, a smaller dense network out.

What share of the *channels* removes the wanted share of parameters or multiply-accumulates depends
on the network and on the rounding of its widths: it is found by bisection.
"""

import copy
import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import nn

from fettle.errors import OptimizeError
from fettle.optimize.channels import (
    PRUNABLE,
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
        before: Cost of the given network.
        after: Cost of the smaller one.
        channel_share: Share of all channels that was asked of Torch-Pruning.
        widths: Layer -> outputs before and after, of those that became narrower.
        kept: Which outputs these still have.
    """

    model: nn.Module
    before: Cost
    after: Cost
    channel_share: float
    widths: Mapping[str, tuple[int, int]]
    kept: Kept

    def removed(self, of: str) -> float:
        """Return the share of ``params`` or ``macs`` that went."""
        return _removed(self.before, self.after, of)


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
    low, high = _Probe(0.0, ranked, {}, before), None
    for _ in range(PROBES):
        share = (low.share + (high.share if high else 1.0)) / 2
        pruned, kept = remove_channels(ranked, config, share, example_input=example_input, keep=names)
        probe = _Probe(share, pruned, kept, measure(pruned, example_input))
        removed = _removed(before, probe.cost, config.by)
        if removed < config.ratio:
            low = probe
        else:
            high = probe
        if config.ratio <= removed <= config.ratio + NEAR:
            break
    best = _choose([high, low] if high else [low], before, config)
    best.model.zero_grad(set_to_none=True)
    return PruneResult(best.model, before, best.cost, best.share, _narrowed(model, best.model), best.kept)


def measure(model: nn.Module, example_input: torch.Tensor) -> Cost:
    """Count parameters, and multiply-accumulates of one image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macs, params = tp.utils.count_ops_and_params(model, example_input[:1])
    return Cost(int(params), int(macs))


@dataclass(frozen=True)
class _Probe:
    share: float
    model: nn.Module
    kept: Kept
    cost: Cost


def _removed(before: Cost, after: Cost, of: str) -> float:
    return 1.0 - float(getattr(after, of)) / float(getattr(before, of))


def _choose(probes: Sequence[_Probe], before: Cost, config: PruneConfig) -> _Probe:
    """Return the first of ``probes`` that removes something and about what is wanted."""
    smaller = [probe for probe in probes if probe.cost.macs < before.macs]
    for probe in smaller:
        if abs(_removed(before, probe.cost, config.by) - config.ratio) <= TOLERANCE:
            return probe
    shares = " or ".join(f"{_removed(before, probe.cost, config.by):.1%}" for probe in smaller) or "nothing"
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


def _narrowed(old: nn.Module, new: nn.Module) -> dict[str, tuple[int, int]]:
    layers = dict(new.named_modules())
    widths = {
        name: (len(module.weight), len(layers[name].weight))
        for name, module in old.named_modules()
        if isinstance(module, PRUNABLE)
    }
    return {name: pair for name, pair in widths.items() if pair[0] != pair[1]}
