"""A network like one before it takes its graph, with its own weights; any other is traced."""

import copy

import onnx
import pytest
import torch

from fettle.export import traces as room
from fettle.export.onnx import export_onnx
from fettle.export.served import Served
from fettle.export.traces import Traces


@pytest.fixture
def traced(monkeypatch):
    """What was traced."""
    found, trace = [], room._trace
    monkeypatch.setattr(room, "_trace", lambda served, *given: found.append(served) or trace(served, *given))
    return found


def test_a_network_like_another_is_not_traced_again_and_has_its_own_weights(network, architecture, tmp_path, traced):
    traces, other = Traces(), copy.deepcopy(network)
    with torch.no_grad():
        for value in (*other.parameters(), *other.buffers()):
            if value.is_floating_point():
                value.mul_(1.5)
    export_onnx(network, architecture, tmp_path / "first.onnx", traces=traces)
    export_onnx(other, architecture, tmp_path / "second.onnx", traces=traces)  # compared with the network there
    assert len(traced) == 1
    for model, name in ((network, "first"), (other, "second")):
        export_onnx(model, architecture, tmp_path / "alone.onnx")
        assert (tmp_path / f"{name}.onnx").read_bytes() == (tmp_path / "alone.onnx").read_bytes()


def test_what_is_kept_of_a_network_has_no_weights(network, architecture, tmp_path):
    traces = Traces()
    export_onnx(network, architecture, tmp_path / "model.onnx", traces=traces)
    (graph,) = traces._graphs.values()
    kept = [value.const_value for value in graph.graph.initializers.values() if value.const_value is not None]
    assert sum(value.nbytes for value in kept) < 1000
    assert (tmp_path / "model.onnx").stat().st_size > 10_000
    onnx.checker.check_model(str(tmp_path / "model.onnx"))


@pytest.mark.parametrize("change", ["width", "setting", "size"])
def test_what_differs_in_more_than_weights_is_traced(network, architecture, tmp_path, traced, change):
    traces, other = Traces(), copy.deepcopy(network)
    size = architecture.image_size
    if change == "width":
        other.head = torch.nn.Linear(other.head.in_features, 7)
    elif change == "setting":
        other.stem[1].eps = 0.5
    else:
        size = 2 * size
    for model, side in ((network, architecture.image_size), (other, size)):
        served = Served(model, architecture, None).eval()
        traces.of(served, torch.zeros((2, side, side, 3), dtype=torch.uint8), ("probabilities",))
    assert len(traced) == 2
