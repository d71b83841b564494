"""Which nodes of an exported graph stay in float."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fettle.errors import OptimizeError

# The modules before the network (fettle.export.served and fettle.models.input_size): some operations an image, and the
# resolution of pixels hangs on them.
_BEFORE_THE_NETWORK = re.compile(r"preprocess[/.]|(.*\.)?smaller[/.]")
WEIGHTED = frozenset(
    {
        *("Conv", "ConvTranspose", "Gemm", "MatMul"),  # ONNX
        *("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData"),  # OpenVINO
    }
)


ELEMENTWISE = frozenset(
    ("Sigmoid", "Mul", "Multiply", "Relu", "Swish", "HardSwish", "LeakyRelu", "PRelu", "Clip", "Clamp")
)


@dataclass(frozen=True)
class Node:
    """A node of a graph: its kind of operation, and who reads it."""

    kind: str
    readers: frozenset[str]


Graph = Mapping[str, Node]


def is_before_the_network(name: str) -> bool:
    """Return whether a node of that name prepares the images."""
    return _BEFORE_THE_NETWORK.match(name) is not None


def onnx_graph(graph: Any) -> Graph:
    """Return the nodes of an ``onnx.GraphProto`` by name."""
    readers: dict[str, set[str]] = {}
    for node in graph.node:
        for value in node.input:
            readers.setdefault(value, set()).add(node.name)
    return {
        node.name: Node(node.op_type, frozenset().union(*(readers.get(value, ()) for value in node.output)))
        for node in graph.node
    }


def openvino_graph(model: Any) -> Graph:
    """Return the nodes of an ``openvino.Model`` by friendly name, without constants."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() != "Constant"]
    return {
        node.get_friendly_name(): Node(
            node.get_type_name(),
            frozenset(
                reader.get_node().get_friendly_name() for port in node.outputs() for reader in port.get_target_inputs()
            ),
        )
        for node in nodes
    }


def float_nodes(graph: Graph, keep_float: Sequence[str]) -> list[str]:
    """Return the names of the nodes that are not quantized: around the network, and what ``keep_float`` finds.

    A layer in float between activations in 8 bits would read and write 8 bits: its activations go with it.

    Args:
        graph: The exported graph, its nodes named such as ``layer1.0.conv1/Conv``.
        keep_float: Regular expressions, searched in the names.

    Raises:
        OptimizeError: If an expression is none, or finds nothing.
    """
    found = {name for pattern in keep_float for name in _search(pattern, graph)}
    around = {name for name in graph if is_before_the_network(name)}
    kept = found | around | _activations(graph, found) | set(behind_the_network(graph))
    return [name for name in graph if name in kept]


def _activations(graph: Graph, layers: Collection[str]) -> set[str]:
    """Return the elementwise nodes before and behind ``layers``, up to the next node of another kind."""
    neighbours = {name: set(node.readers) for name, node in graph.items()}
    for name, node in graph.items():
        for reader in node.readers:
            neighbours.setdefault(reader, set()).add(name)
    found, pending = set[str](), list(layers)
    while pending:
        fresh = {n for n in neighbours[pending.pop()] if n in graph and graph[n].kind in ELEMENTWISE} - found
        found |= fresh
        pending += fresh
    return found


def behind_the_network(graph: Graph) -> list[str]:
    """Return the nodes that no layer with weights follows: softmax, decoding of boxes, suppression.

    They are a few operations an image, and the resolution of probabilities and pixels hangs on them.
    """
    inside = {name for name, node in graph.items() if node.kind in WEIGHTED}
    # Backwards through the graph, as long as a node is found that is read by one inside.
    writers: dict[str, list[str]] = {}
    for name, node in graph.items():
        for reader in node.readers:
            writers.setdefault(reader, []).append(name)
    pending = list(inside)
    while pending:
        fresh = [name for name in writers.get(pending.pop(), ()) if name not in inside]
        inside.update(fresh)
        pending += fresh
    return [name for name in graph if name not in inside]


def _search(pattern: str, names: Iterable[str]) -> list[str]:
    try:
        found = [name for name in names if re.search(pattern, name)]
    except re.error as error:
        raise OptimizeError(f"`quantize.keep_float` {pattern!r} is not a regular expression: {error}.") from None
    if not found:
        first, *_, last = names
        raise OptimizeError(f"`quantize.keep_float` {pattern!r} finds no node: they are named {first!r} … {last!r}.")
    return found
