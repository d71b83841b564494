"""Networks as raw ONNX graphs. Tracing takes several times as long as all that is done to a graph afterwards, so a
network like one that was traced before takes its graph, and puts its own weights into it."""

import warnings
from typing import Any

import onnx
import torch
from torch import nn

OPSET = 20
MAX_BATCH = 1024
INPUT = "image"


class Traces:
    """Traces networks, and keeps the graphs without their weights."""

    def __init__(self) -> None:
        self._graphs: dict[str, Any] = {}  # what tells networks apart -> onnx_ir.Model

    def of(self, served: nn.Module, example: torch.Tensor, outputs: tuple[str, ...]) -> onnx.ModelProto:
        """Return the graph of ``served``, with constants folded and batch norms fused.

        Args:
            served: In eval mode, on the CPU.
            example: A batch of two, as it takes them.
            outputs: Names of what it answers.

        Raises:
            Exception: Whatever torch's exporter raises where it cannot trace a network.
        """
        key = f"{_likeness(served)} {tuple(example.shape)} {outputs}"
        if key not in self._graphs:
            self._graphs[key] = _trace(served, example, outputs)
        graph = self._graphs[key]
        program = torch.onnx.ONNXProgram(graph.clone(), None)
        names = set(program.model.graph.initializers)
        program.apply_weights({name: value for name, value in _weights(served).items() if name in names})
        program.optimize()
        proto: onnx.ModelProto = program.model_proto
        return proto


def _weights(served: nn.Module) -> dict[str, torch.Tensor]:
    """Return parameters and buffers, those that no state dict has as well."""
    return {name: value.detach() for name, value in (*served.named_parameters(), *served.named_buffers())}


def _likeness(served: nn.Module) -> str:
    """Return what is the same of networks that are traced to the same graph: all that they are but for their weights.

    A graph holds as constants what a module computes with besides tensors, such as a stride or a number of groups.
    """
    modules = [(name, type(module).__qualname__, _settings(module)) for name, module in served.named_modules()]
    return f"{modules} {[(name, tuple(value.shape)) for name, value in _weights(served).items()]}"


def _settings(module: nn.Module) -> dict[str, str]:
    return {name: repr(value) for name, value in vars(module).items() if not name.startswith("_")}


def _trace(served: nn.Module, example: torch.Tensor, outputs: tuple[str, ...]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            served,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=MAX_BATCH)},),
            external_data=False,
            verbose=False,
            optimize=False,  # that would mix weights into one another
        )
    assert program is not None
    graph = program.model
    for name in _weights(served):
        if name in graph.graph.initializers:
            graph.graph.initializers[name].const_value = None
    return graph
