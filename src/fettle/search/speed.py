"""Widths by measurement: how much has to go until a network is so much faster where it will be served.

Which widths are fast depends on the runtime, the precision and the machine, and neither parameters nor
multiply-accumulates tell it. Latency needs no trained weights: a pruned network is exported, quantized and timed beside
the whole one before a second of fine-tuning is spent on it.
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn

from fettle.errors import OptimizeError
from fettle.evaluate import words
from fettle.evaluate.contestants import EngineContestant
from fettle.evaluate.intervals import Interval
from fettle.models.architecture import Architecture
from fettle.optimize.pruning import PruneResult
from fettle.search.forms import Form
from fettle.search.track import Track, race
from fettle.spec import PruneConfig, SpeedConfig

PROBES = 5  # a width step: the ratio is found to a thirtieth
MOST = 0.95

Prune = Callable[[PruneConfig], PruneResult]
log = logging.getLogger("fettle")


@dataclass(frozen=True)
class Probe:
    """What was tried: ``times`` as fast as the whole network, with ``removed`` of its parameters gone."""

    ratio: float
    width_step: int
    times: Interval
    removed: float


@dataclass(frozen=True)
class SpeedResult:
    """The network that is fast enough with the most parameters left, and all that was tried."""

    pruned: PruneResult
    chosen: Probe
    probes: tuple[Probe, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what the card tells."""
        return {"chosen": asdict(self.chosen), "probes": [asdict(probe) for probe in self.probes]}


def prune_for_speed(
    model: nn.Module,
    architecture: Architecture,
    config: PruneConfig,
    wanted: SpeedConfig,
    *,
    prune: Prune,
    images: np.ndarray,
) -> SpeedResult:
    """Prune by the least that makes the network ``wanted.times`` as fast.

    For each width step the ratio is found by bisection; of those that are fast enough, the one with the most parameters
    left is taken.

    Args:
        model: The whole network.
        architecture: Of it.
        config: How to prune; ``ratio`` and ``width_step`` are found.
        wanted: How much faster, in which runtime and precision.
        prune: Prunes ``model``.
        images: (N, S, S, 3) uint8, to calibrate with and to ask about.

    Raises:
        OptimizeError: If nothing is fast enough; the nearest is named.
    """
    found: list[tuple[Probe, PruneResult]] = []
    form = Form(wanted.runtime, wanted.precision)
    with Track(images) as track:

        def enter(name: str, network: nn.Module) -> contextlib.AbstractContextManager[EngineContestant]:
            return track.start(name, track.convert(track.export(network, architecture), form), form.runtime)

        whole = track.enter_context(enter("whole", model))
        for step in wanted.width_steps:
            low, high = 0.0, MOST
            for _ in range(PROBES):
                ratio = (low + high) / 2
                try:
                    pruned = prune(config.model_copy(update={"ratio": ratio, "width_step": step}))
                except OptimizeError as error:  # this step cannot do that ratio
                    log.info("width step %d: %s", step, error)
                    break
                with enter("pruned", pruned.model) as contestant:
                    times = race(whole, contestant)
                probe = Probe(ratio, step, times, pruned.removed("params"))
                found.append((probe, pruned))
                log.info("%s", _told(probe))
                low, high = (low, ratio) if probe.times.estimate >= wanted.times else (ratio, high)
    enough = [pair for pair in found if pair[0].times.estimate >= wanted.times]
    if not enough:
        raise OptimizeError(_out_of_reach(wanted, [probe for probe, _ in found]))
    chosen, result = min(enough, key=lambda pair: pair[0].removed)
    return SpeedResult(result, chosen, tuple(probe for probe, _ in found))


def _told(probe: Probe) -> str:
    return (
        f"width step {probe.width_step}, ratio {probe.ratio:.3f}: {probe.times.estimate:.2f}x as fast "
        f"({probe.times.confidence:.0%} interval {probe.times.low:.2f} to {probe.times.high:.2f}), "
        f"{words.percent(probe.removed)} of the parameters gone"
    )


def _out_of_reach(wanted: SpeedConfig, probes: list[Probe]) -> str:
    asked = f"`prune.speed.times` {wanted.times:g} is out of reach in {wanted.precision} on {wanted.runtime}"
    if not probes:
        return f"{asked}: none of the width steps {wanted.width_steps} can be pruned to. Take smaller ones."
    return f"{asked}; the nearest is {_told(max(probes, key=lambda probe: probe.times.estimate))}."
