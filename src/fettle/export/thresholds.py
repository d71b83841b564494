"""Other thresholds for an exported model, without another export: constants of the graph are replaced by name."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from pydantic import ValidationError

from fettle.errors import ArtifactError, SpecError
from fettle.export.manifest import FILES, Export, Tensor
from fettle.spec.base import Section
from fettle.spec.detections import DetectionConfig
from fettle.spec.verification import VerificationConfig

Constants = Mapping[str, np.ndarray]

# What a task's thresholds may be. Those of a detector are constants of its graph; that of an embedding is for clients.
THRESHOLDS: Mapping[str, type[Section]] = MappingProxyType({"detect": DetectionConfig, "embed": VerificationConfig})
# Everything that a precision-recall curve needs. Greedy suppression never lets a lower score suppress a higher one, so
# the answer at a higher confidence or with fewer detections is a prefix of this one's.
FULL_CURVE: Mapping[str, float] = MappingProxyType({"confidence": 0.001, "max_detections": 300})


def set_thresholds(export: Export, folder: Path, **values: float) -> Export:
    """Write a copy of the model's files with other thresholds into ``folder``; the manifest is not written.

    Args:
        export: An export whose ``thresholds`` have these names.
        folder: An existing folder.
        **values: ``confidence``, ``iou`` or ``max_detections``, of an embedding ``similarity``; what is not named stays
            as it is.

    Returns:
        The description of what was written.

    Raises:
        SpecError: If the model has no such threshold, or a value is out of range.
        ArtifactError: If the file cannot be read or does not hold the constants.
        HardwareError: If a TensorRT engine has to be built again and this machine cannot.
    """
    config = _check(export, values) if values else None
    if not isinstance(config, DetectionConfig):
        for file in export.files:
            copy = folder / file.relative_to(export.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        return replace(export, path=folder, thresholds={**export.thresholds, **values})
    result = replace(
        export,
        path=folder,
        outputs=detection_outputs(config.max_detections),
        thresholds=config.model_dump(include=set(export.thresholds)),
    )
    from fettle.export.suppression import threshold_constants  # imports onnx

    return _WRITERS[export.format](export, result, threshold_constants(result.thresholds))


def full_curve(export: Export) -> Mapping[str, float]:
    """Return the thresholds at which a model answers all it can: of a detector :data:`FULL_CURVE`, else none."""
    return {name: value for name, value in FULL_CURVE.items() if name in export.thresholds}


def detection_outputs(max_detections: int) -> tuple[Tensor, ...]:
    """Return the outputs of a detector's graph, of one image."""
    return (
        Tensor("boxes", "float32", (max_detections, 4)),
        Tensor("scores", "float32", (max_detections,)),
        Tensor("labels", "int32", (max_detections,)),
        Tensor("count", "int32", (1,)),
    )


def _check(export: Export, values: Mapping[str, float]) -> Section:
    for name in values:
        if name not in export.thresholds:
            known = ", ".join(export.thresholds) or "none"
            raise SpecError(f"{export.path} ({export.task}) has no threshold {name!r}: it has {known}.")
    try:
        return THRESHOLDS[export.task].model_validate({**export.thresholds, **values})
    except ValidationError as error:
        fault = error.errors()[0]
        raise SpecError(f"`{fault['loc'][0]}` cannot be {fault['input']!r}: {fault['msg']}.") from None


def _write_onnx(source: Export, result: Export, constants: Constants) -> Export:
    _replace_initializers(source.file, result.file, constants)
    return result


def _replace_initializers(source: Path, file: Path, constants: Constants) -> None:
    import onnx
    from google.protobuf.message import DecodeError

    from fettle.export.suppression import set_output_shapes

    try:
        model = onnx.load(source)
    except (OSError, DecodeError) as error:
        raise ArtifactError(f"{source} cannot be read ({error}): export the model again.") from None
    held = {value.name: value for value in model.graph.initializer}
    for name, value in constants.items():
        if name not in held:
            raise _not_ours(source, name)
        held[name].CopyFrom(onnx.numpy_helper.from_array(value, name))
    set_output_shapes(model, int(constants["max_detections"][0]))
    onnx.save(model, file)


def _write_openvino(source: Export, result: Export, constants: Constants) -> Export:
    import openvino as ov

    from fettle.export.suppression import READERS

    try:
        model = ov.Core().read_model(source.file)
    except RuntimeError as error:
        raise ArtifactError(f"{source.file} cannot be read ({error}): quantize the model again.") from None
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    for name, value in constants.items():
        for reader, port in READERS[name]:
            if reader not in nodes:
                raise _not_ours(source.file, reader)
            _replace_input(nodes[reader].input(port), value)
    model.validate_nodes_and_infer_types()
    ov.save_model(model, result.file, compress_to_fp16=False)
    return result


def _replace_input(port: Any, value: np.ndarray) -> None:
    """Feed a new constant to an input of an OpenVINO operation, in the shape and type that it had."""
    from openvino.op import Constant

    old = port.get_source_output()
    new = Constant(old.get_element_type(), old.get_shape(), value.tolist())
    new.set_friendly_name(f"{port.get_node().get_friendly_name()}/{port.get_index()}")  # the same file each time
    port.replace_source_output(new.output(0))


def _write_tensorrt(source: Export, result: Export, constants: Constants) -> Export:
    """Build the engine again from the graph that was kept beside it."""
    from fettle.export.tensorrt import rebuild_engine

    graph = result.path / FILES["onnx"]
    _replace_initializers(source.path / FILES["onnx"], graph, constants)
    return replace(result, passport=rebuild_engine(graph, result.file, image=source.input, passport=source.passport))


def _not_ours(file: Path, name: str) -> ArtifactError:
    return ArtifactError(f"{file} has no {name!r}: it was not made by this version of Fettle, export it again.")


_WRITERS: Mapping[str, Callable[[Export, Export, Constants], Export]] = MappingProxyType(
    {"onnx": _write_onnx, "openvino": _write_openvino, "tensorrt": _write_tensorrt}
)
