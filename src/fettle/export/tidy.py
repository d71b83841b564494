"""Make an exported graph small, readable and the same on every run."""

import ast
import logging
from collections import Counter

import onnx
import onnxsim

from fettle.errors import OptimizeError

SCOPES = "pkg.torch.onnx.name_scopes"
NETWORK = "model."

log = logging.getLogger("fettle")


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name the nodes after the network's modules, drop the exporter's notes, simplify and check.

    Raises:
        OptimizeError: If the graph is not valid ONNX.
    """
    _name_nodes(model.graph)
    _pool_globally(model)
    _strip(model)
    model = _simplify(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise OptimizeError(f"The exported graph is not valid ONNX: {error}") from None
    return model


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Turn ``node_Conv_293`` into ``layer1.0.conv1/Conv``, which ``keep_float`` can speak of."""
    seen: Counter[str] = Counter()
    weights = {initializer.name for initializer in graph.initializer}
    for node in graph.node:
        name = f"{_module_of(node, weights).removeprefix(NETWORK)}/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"


def _module_of(node: onnx.NodeProto, weights: set[str]) -> str:
    # A batch norm folded into its convolution leaves its scope there: the weight's name says more.
    weight = next((name for name in node.input if name in weights and name.endswith(".weight")), None)
    if weight is not None:
        return str(weight).removesuffix(".weight")
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "['']")
    modules: list[str] = ast.literal_eval(scopes)[:-1]
    return next((name for name in reversed(modules) if name), "graph")


def _strip(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "fettle", "", ""
    graph = model.graph
    graph.name, graph.doc_string = "fettle", ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""


def _simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and fuse; a graph that the simplifier cannot take stays as it is."""
    try:
        simple, same = onnxsim.simplify(model)
    except Exception as error:  # native code behind it, any exception may come
        log.warning("The ONNX graph stays unsimplified: onnxsim failed (%s).", error)
        return model
    if not same:
        log.warning("The ONNX graph stays unsimplified: onnxsim's result gave other answers.")
        return model
    assert isinstance(simple, onnx.ModelProto)
    return simple


def _pool_globally(model: onnx.ModelProto) -> None:
    """Write the mean over height and width as the pooling that it is: quantizers know that one."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.value_info}
    constants = {value.name: value for value in graph.initializer}
    for node in model.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) != 2 or node.input[1] not in constants:
            continue
        axes = {int(axis) % 4 for axis in onnx.numpy_helper.to_array(constants[node.input[1]])}
        keeps = all(attribute.i for attribute in node.attribute if attribute.name == "keepdims")
        if ranks.get(node.input[0]) == 4 and axes == {2, 3} and keeps:
            del node.attribute[:]
            del node.input[1:]
            node.op_type = "GlobalAveragePool"
            node.name = node.name.replace("/ReduceMean", "/GlobalAveragePool")
