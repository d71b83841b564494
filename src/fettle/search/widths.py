"""Widths for a latency: which channels to give up so that a network takes no longer than it may.

As in HALP (Shen et al. 2022, arXiv:2110.10811): what a channel is worth is set against the time that it costs on the
machine that serves, and what is worth least for its time goes first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fettle.optimize.groups import Group
from fettle.search.layers import Layer
from fettle.search.table import Table

Spread = Literal["even", "clock"]
Widths = Mapping[str, int]
LEAST = 0.125  # of a layer's channels stay


def find_widths(
    groups: Sequence[Group],
    layers: Mapping[str, Layer],
    table: Table,
    *,
    microseconds: float,
    step: int,
    spread: Spread,
    comparable: bool,
) -> tuple[dict[str, int], float]:
    """Return a width for each group's root, and the microseconds that are expected then.

    They are as near below ``microseconds`` as the steps allow, or the narrowest there are.

    Args:
        groups: Of the network as it is.
        layers: Of the network, by name.
        table: What layers cost.
        microseconds: What a call may take.
        step: Widths are multiples of this.
        spread: ``even`` takes the same share of every group; ``clock`` what is worth least for its time.
        comparable: Whether the importance of channels of different groups can be compared, as Taylor's can.
    """
    network = _Network(groups, layers, table)
    found = SPREADS[spread](network, microseconds, step, comparable)
    return found, network.time(found)


class _Network:
    """The time of a network as a function of its widths."""

    def __init__(self, groups: Sequence[Group], layers: Mapping[str, Layer], table: Table) -> None:
        self.groups, self.layers, self.table = groups, layers, table
        self.full = {group.root: group.width for group in groups}
        self.touched = {
            group.root: [name for name in {**group.outputs, **group.inputs} if name in layers] for group in groups
        }

    def narrowed(self, name: str, widths: Widths) -> Layer:
        layer, inputs, outputs = self.layers[name], 0, 0
        for group in self.groups:
            gone = group.width - widths[group.root]
            inputs += gone * group.inputs.get(name, 0)
            outputs += gone * group.outputs.get(name, 0)
        if layer.groups > 1:  # depthwise: its inputs are its outputs
            inputs = outputs
        return layer.narrower(max(layer.inputs - inputs, 1), max(layer.outputs - outputs, 1))

    def time(self, widths: Widths) -> float:
        return self.table.network(self.narrowed(name, widths) for name in self.layers)

    def part(self, root: str, widths: Widths) -> float:
        """Return the time of the layers that a group touches."""
        return sum(self.table.layer(self.narrowed(name, widths)) for name in self.touched[root])


def _even(network: _Network, microseconds: float, step: int, _: bool) -> dict[str, int]:
    low, high = 0.0, 1.0
    for _probe in range(10):
        share = (low + high) / 2
        widths = {group.root: _rounded(group.width, share, step) for group in network.groups}
        low, high = (low, share) if network.time(widths) <= microseconds else (share, high)
    return {group.root: _rounded(group.width, high, step) for group in network.groups}


def _rounded(width: int, share: float, step: int) -> int:
    nearest = round(width * (1 - share) / step) * step
    return min(width, max(nearest, narrowest(width, step)))


def narrowest(width: int, step: int) -> int:
    """Return the smallest multiple of ``step`` that leaves a layer enough."""
    return min(width, max(step, math.ceil(width * LEAST / step) * step))


def _by_clock(network: _Network, microseconds: float, step: int, comparable: bool) -> dict[str, int]:
    widths, time = dict(network.full), network.time(network.full)
    offers = {group.root: _offer(network, group, widths, step, comparable) for group in network.groups}
    while time > microseconds:
        root = min(offers, key=lambda each: offers[each].price, default=None)
        if root is None or math.isinf(offers[root].price):
            break
        widths[root] = offers[root].width
        time -= offers[root].saved
        near = set(network.touched[root])
        for group in network.groups:
            if near & set(network.touched[group.root]):
                offers[group.root] = _offer(network, group, widths, step, comparable)
    return widths


@dataclass(frozen=True)
class _Offer:
    """The next step of a group: the width after it, the microseconds saved, and what a microsecond costs."""

    width: int
    saved: float = 0.0
    price: float = math.inf


def _offer(network: _Network, group: Group, widths: Widths, step: int, comparable: bool) -> _Offer:
    width = widths[group.root]
    after = (math.ceil(width / step) - 1) * step
    if after < narrowest(group.width, step):
        return _Offer(width)
    lost = sum(group.importance[group.width - width : group.width - after])
    if not comparable:  # what goes as a share of what is left: no group is emptied for its small numbers
        lost /= max(sum(group.importance[group.width - width :]), 1e-12)
    saved = network.part(group.root, widths) - network.part(group.root, {**widths, group.root: after})
    return _Offer(after, saved, lost / saved) if saved > 0 else _Offer(width)


SPREADS = {"even": _even, "clock": _by_clock}
