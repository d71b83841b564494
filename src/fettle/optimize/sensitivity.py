"""Which layers suffer most from INT8: each is quantized alone, and the network's output compared.

One graph holds a switch for every layer, so that one session answers for all of them: switched on, the layer reads
inputs and weights that were rounded to 8 bits and back.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from fettle.optimize.calibration import batches
from fettle.optimize.nodes import WEIGHTED, behind_the_network, is_before_the_network, onnx_graph
from fettle.runtimes.onnxruntime import session_options

BATCH = 4
IMAGES = 4
INPUT, SWITCHES = "image", "switches"
LEVELS = 255
TINY = 1e-12
Ranges = Mapping[str, tuple[float, float]]


def rank_layers(file: Path, images: np.ndarray) -> dict[str, float]:
    """Return the layers with weights of a float ONNX file, the most sensitive first.

    Args:
        file: Float ONNX file of :func:`fettle.export.onnx.export_onnx`.
        images: (N, S, S, 3) uint8; the first few are looked at.

    Returns:
        Name of the layer -> the power of the error at the network's outputs (before decoding and softmax), as a share
        of their variance, when this layer alone is in INT8.
    """
    model, images = onnx.load(file), images[:IMAGES]
    layers, outputs = _layers(model.graph), _outputs(model.graph)
    ranges = _ranges(model, sorted({layer.input[0] for layer in layers}), images)
    session = _open(_with_switches(model, layers, ranges), outputs)

    def ask(switched: int | None) -> list[np.ndarray]:
        switches = np.arange(len(layers)) == switched
        return list(session.run(outputs, {INPUT: images, SWITCHES: switches}))

    expected = ask(None)
    errors = {layer.name: _error(ask(index), expected) for index, layer in enumerate(layers)}
    return dict(sorted(errors.items(), key=lambda entry: -entry[1]))


def _layers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    constants = {value.name for value in graph.initializer}
    return [
        node
        for node in graph.node
        if node.op_type in WEIGHTED and node.input[1] in constants and not is_before_the_network(node.name)
    ]


def _outputs(graph: onnx.GraphProto) -> list[str]:
    """Return what the network hands over to decoding or softmax; without any, what the graph answers."""
    behind = set(behind_the_network(onnx_graph(graph)))
    read = {name for node in graph.node if node.name in behind for name in node.input}
    read |= {value.name for value in graph.output}
    return [name for node in graph.node if node.name not in behind for name in node.output if name in read]


def _error(answers: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    return float(np.mean([_share(answer, wanted) for answer, wanted in zip(answers, expected, strict=True)]))


def _share(answer: np.ndarray, wanted: np.ndarray) -> float:
    channel_means = wanted.mean(axis=(0, *range(2, wanted.ndim)), keepdims=True)
    return float(np.square(answer - wanted).sum() / max(np.square(wanted - channel_means).sum(), TINY))


def _ranges(model: onnx.ModelProto, values: list[str], images: np.ndarray) -> Ranges:
    """Return the smallest and the largest number of each value over the images, 0 among them."""
    session = _open(model, values)
    found = [[(x.min(), x.max()) for x in session.run(values, {INPUT: batch})] for batch in batches(images, BATCH)]
    extremes = np.array(found)
    low, high = extremes[:, :, 0].min(axis=0), extremes[:, :, 1].max(axis=0)
    return {name: (min(0.0, a), max(0.0, b)) for name, a, b in zip(values, low, high, strict=True)}


def _with_switches(model: onnx.ModelProto, layers: list[onnx.NodeProto], ranges: Ranges) -> onnx.ModelProto:
    """Return a copy in which ``switches``, one truth value a layer, decides who reads rounded numbers."""
    switched = onnx.ModelProto()
    switched.CopyFrom(model)
    graph, constants = switched.graph, {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}
    names = [layer.name for layer in layers]
    nodes = [helper.make_node("Split", [SWITCHES], [f"{name}/on" for name in names], axis=0, num_outputs=len(names))]
    for node in model.graph.node:
        if node.name in names:
            for name, value in _rounding(ranges[node.input[0]], constants[node.input[1]]).items():
                graph.initializer.append(numpy_helper.from_array(value, f"{node.name}/{name}"))
            nodes += _switch(node)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(SWITCHES, onnx.TensorProto.BOOL, [len(layers)]))
    return switched


def _rounding(limits: tuple[float, float], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return unsigned asymmetric 8 bits for the input, and the weights through symmetric 8 bits an output channel."""
    scale = max((limits[1] - limits[0]) / LEVELS, TINY)
    step = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True).clip(TINY) / (LEVELS // 2)
    return {
        "scale": np.array(scale, np.float32),
        "zero": np.array(np.clip(round(-limits[0] / scale), 0, LEVELS), np.uint8),
        "weights": (np.round(weights / step) * step).astype(np.float32),
    }


def _switch(layer: onnx.NodeProto) -> list[onnx.NodeProto]:
    at = {name: f"{layer.name}/{name}" for name in ("on", "scale", "zero", "weights", "levels", "rounded", "x", "w")}
    switched = onnx.NodeProto()
    switched.CopyFrom(layer)
    switched.input[0], switched.input[1] = at["x"], at["w"]
    return [
        helper.make_node("QuantizeLinear", [layer.input[0], at["scale"], at["zero"]], [at["levels"]]),
        helper.make_node("DequantizeLinear", [at["levels"], at["scale"], at["zero"]], [at["rounded"]]),
        helper.make_node("Where", [at["on"], at["rounded"], layer.input[0]], [at["x"]]),
        helper.make_node("Where", [at["on"], at["weights"], layer.input[1]], [at["w"]]),
        switched,
    ]


def _open(model: onnx.ModelProto, outputs: list[str]) -> ort.InferenceSession:
    """Open a copy that answers ``outputs`` and nothing else."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return ort.InferenceSession(watched.SerializeToString(), session_options({}, None), ["CPUExecutionProvider"])
