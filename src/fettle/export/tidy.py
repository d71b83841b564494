"""Make an exported graph small, readable and the same on every run."""

import ast
import logging
from collections import Counter

import numpy as np
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
    _expect_plainly(model.graph)
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


def _expect_plainly(graph: onnx.GraphProto) -> None:
    """Write the expectation over the bins 0, 1, 2, … (DFL, Li et al. 2020) as a weighted sum, which it is.

    Ultralytics writes it as a convolution with those weights. Quantizers and OpenVINO's bfloat16 take that for a layer
    of the network, and bins that are rounded so move a box by a pixel.
    """
    constants = {value.name: value for value in graph.initializer}
    for index, node in reversed(list(enumerate(graph.node))):
        weight = constants.get(node.input[1]) if node.op_type == "Conv" and len(node.input) == 2 else None
        if weight is None or not _counts(onnx.numpy_helper.to_array(weight)):
            continue
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), f"{node.name}/axes"))
        terms, name = f"{node.name}/terms", node.name.removesuffix("/Conv")
        bins = onnx.helper.make_node("Mul", [node.input[0], weight.name], [terms], name=f"{name}/Mul")
        total = onnx.helper.make_node("ReduceSum", [terms, f"{node.name}/axes"], node.output, name=f"{name}/ReduceSum")
        del graph.node[index]
        graph.node.insert(index, total)
        graph.node.insert(index, bins)


def _counts(weight: np.ndarray) -> bool:
    """Tell whether a kernel is (1, n, 1, 1) and holds 0, 1, … n - 1."""
    bins = weight.size
    return bins > 1 and weight.shape == (1, bins, 1, 1) and np.array_equal(weight.ravel(), np.arange(bins))
