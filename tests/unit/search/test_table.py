"""The latency table: what it learns from whole networks, and who may read it."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from fettle.search.forms import Form
from fettle.search.layers import Layer
from fettle.search.table import Table, add_sample, read_table, sample_of, table_file

FORM = Form("openvino", "int8")


def layer(inputs: int, outputs: int, positions: int = 100) -> Layer:
    return Layer("3x3/1", inputs, outputs, positions, kernel=9)


def true_time(each: Layer) -> float:
    """A machine that is a roofline: microseconds of a layer."""
    return 2.0 + each.work[1] / 500 + each.work[2] / 100


def measured(widths: tuple[int, ...]) -> Table:
    layers = {f"layer{i}": layer(a, b) for i, (a, b) in enumerate(itertools.pairwise(widths))}
    times = {f"{name}/Conv": true_time(each) for name, each in layers.items()}
    total = sum(times.values()) + 20
    return Table((sample_of(layers, times, total),))


def test_the_time_of_a_network_that_was_never_measured_follows() -> None:
    rng = np.random.default_rng(0)
    samples = [measured(tuple(16 * rng.integers(1, 16, size=length))).samples[0] for length in (3, 4, 5, 6, 7, 8, 9)]
    other = [layer(48, 96), layer(96, 160), layer(160, 64)]
    expected = sum(map(true_time, other)) + 20
    assert Table(tuple(samples)).network(other) == pytest.approx(expected, rel=0.05)


def test_time_that_the_profiler_gives_to_nobody_is_counted() -> None:
    layers = {"a": layer(16, 16), "b": layer(16, 32)}
    sample = sample_of(layers, {"a/Conv": 5.0, "a/Relu": 1.0, "pool/MaxPool": 3.0}, 30.0)
    assert [(each.outputs, time) for each, time in sample.layers] == [(16, 6.0)]
    assert sample.total == 30.0


def test_it_says_which_kinds_it_knows() -> None:
    table = measured((16, 32, 48, 64, 80, 96, 112))
    assert table.knows([layer(1, 1)])
    assert not table.knows([Layer("7x7/2", 3, 64, 100)])


def test_it_lies_in_a_file_of_its_machine_and_form(tmp_path: Path) -> None:
    mine = table_file(tmp_path, FORM, fingerprint="aaa")
    sample = measured((16, 32, 48)).samples[0]
    add_sample(mine, sample)
    add_sample(mine, sample)
    assert read_table(mine).samples == (sample, sample)
    for other in (
        table_file(tmp_path, FORM, fingerprint="bbb"),
        table_file(tmp_path, Form("onnxruntime", "int8"), fingerprint="aaa"),
    ):
        assert len(read_table(other)) == 0


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "table.jsonl"
    add_sample(file, measured((16, 32)).samples[0])
    with file.open("a") as stream:
        stream.write(json.dumps({"total": 3})[:-3])
    assert len(read_table(file)) == 1
    assert "cannot be read" in caplog.text
