"""Widths for a latency."""

import itertools

import pytest

from fettle.optimize.groups import Group
from fettle.search.layers import Layer
from fettle.search.table import Table, sample_of
from fettle.search.widths import LEAST, find_widths

WIDTHS = (3, 64, 64, 128)
POSITIONS = (4000, 1000, 100)  # the first layer has the most to do for each channel


def chain(widths: tuple[int, ...]) -> dict[str, Layer]:
    pairs = enumerate(itertools.pairwise(widths))
    return {f"conv{i}": Layer("3x3/1", a, b, POSITIONS[i], kernel=9) for i, (a, b) in pairs}


def group(index: int, importance: list[float]) -> Group:
    name, after = f"conv{index}", f"conv{index + 1}"
    return Group(name, WIDTHS[index + 1], tuple(sorted(importance)), {name: 1}, {after: 1} if index < 2 else {}, 1.0)


def time_of(layers: dict[str, Layer]) -> float:
    return 10 + sum(1 + layer.work[1] / 1000 for layer in layers.values())


@pytest.fixture(scope="module")
def table() -> Table:
    samples = []
    for widths in itertools.product((3,), (16, 32, 64), (16, 48, 64), (32, 128)):
        layers = chain(widths)
        times = {f"{name}/Conv": 1 + layer.work[1] / 1000 for name, layer in layers.items()}
        samples.append(sample_of(layers, times, time_of(layers)))
    return Table(tuple(samples))


GROUPS = [group(0, [1.0] * 64), group(1, [1.0] * 64), group(2, [1.0] * 128)]


@pytest.mark.parametrize("spread", ["even", "clock"])
@pytest.mark.parametrize("share", [0.8, 0.5, 0.3])
def test_the_network_takes_no_longer_than_it_may_and_not_much_less(table: Table, spread: str, share: float) -> None:
    layers = chain(WIDTHS)
    allowed = share * time_of(layers)
    widths, expected = find_widths(GROUPS, layers, table, microseconds=allowed, step=8, spread=spread, comparable=True)
    narrow = chain((3, *(widths[f"conv{i}"] for i in range(3))))
    assert expected == pytest.approx(time_of(narrow), rel=0.02)
    assert 0.75 * allowed <= expected <= 1.02 * allowed
    assert all(width % 8 == 0 for width in widths.values())


def test_by_the_clock_what_costs_most_and_is_worth_least_goes_first(table: Table) -> None:
    layers = chain(WIDTHS)
    cheap = [group(0, [0.1] * 64), group(1, [1.0] * 64), group(2, [1.0] * 128)]
    widths, _ = find_widths(
        cheap, layers, table, microseconds=0.6 * time_of(layers), step=8, spread="clock", comparable=True
    )
    assert widths["conv0"] < 64
    assert widths["conv2"] == 128, "its channels cost no time"


def test_what_is_fast_enough_stays_whole(table: Table) -> None:
    layers = chain(WIDTHS)
    for spread in ("even", "clock"):
        widths, _ = find_widths(
            GROUPS, layers, table, microseconds=2 * time_of(layers), step=8, spread=spread, comparable=False
        )
        assert widths == {"conv0": 64, "conv1": 64, "conv2": 128}


@pytest.mark.parametrize("spread", ["even", "clock"])
def test_out_of_reach_gives_the_narrowest_that_there_is(table: Table, spread: str) -> None:
    widths, expected = find_widths(
        GROUPS, chain(WIDTHS), table, microseconds=0.001, step=8, spread=spread, comparable=False
    )
    assert expected > 0.001
    assert min(width / whole for width, whole in zip(widths.values(), (64, 64, 128), strict=True)) == LEAST
