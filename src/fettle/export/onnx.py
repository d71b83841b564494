"""PyTorch to ONNX: one file with pre- and post-processing inside, checked against the network."""

import copy
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from fettle.errors import FettleError, OptimizeError
from fettle.export.manifest import Export, Tensor
from fettle.export.served import Served, Tensors, find_head
from fettle.export.tidy import tidy
from fettle.export.traces import INPUT, Traces
from fettle.models.architecture import Architecture
from fettle.runtimes import open_engine
from fettle.spec import DetectionConfig, TtaConfig

TOLERANCE = 1e-4

log = logging.getLogger("fettle")


def export_onnx(
    model: nn.Module,
    architecture: Architecture,
    file: Path,
    *,
    detections: DetectionConfig | None = None,
    tta: TtaConfig | None = None,
    traces: Traces | None = None,
) -> None:
    """Write ``model`` as an ONNX file that takes uint8 images and gives the task's answers.

    The graph's input is ``image``, uint8 (N, S, S, 3) RGB with a dynamic batch. For ``classify`` its output is
    ``probabilities``, float32 (N, C); for ``detect`` see :func:`fettle.export.suppression.add_suppression`. The file
    is checked by ``onnx.checker``, simplified, and compared with the network on random images. The same weights give
    the same bytes.

    Args:
        model: Trained network; a copy is exported, from the CPU, in eval mode, in float32.
        architecture: Its task, input size and normalization.
        file: Where to write; the weights are inside the file.
        detections: For ``detect``: the thresholds; by default those of the spec.
        tta: Views of the image whose answers are averaged.
        traces: Of networks before it, of which it may be like one.

    Raises:
        OptimizeError: If weights are not finite, or the graph cannot be made or answers differently.
    """
    head, config = find_head(architecture.task), detections or DetectionConfig()
    check_finite(model)
    served = Served(copy.deepcopy(model).cpu().float(), architecture, tta).eval()
    traced = tidy(_trace(served, architecture, head.traced, traces or Traces()))
    size = architecture.image_size
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "network.onnx"
        onnx.save(traced, network)
        check_parity(served, network, size)
        onnx.save(head.finish(traced, architecture, config), file)
        # On the same candidates: nearly equal scores may change places between two runtimes.
        check_parity(lambda images: head.reference(_ask(network, images), architecture, config), file, size)


def check_finite(model: nn.Module) -> None:
    """Refuse a network that was ruined in training.

    Raises:
        OptimizeError: If a weight or a statistic is NaN or infinite.
    """
    for name, value in model.state_dict().items():
        if not torch.isfinite(value).all():
            raise OptimizeError(f"The weights {name!r} are not finite: train again, with a smaller learning rate.")


def check_parity(
    reference: Callable[[torch.Tensor], Tensors], file: Path, size: int, *, tolerance: float = TOLERANCE
) -> None:
    """Compare the file with what it was made from, alone and in a batch.

    Raises:
        OptimizeError: If an answer differs by more than ``tolerance``, in units of the largest answer or 1.
    """
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = [output.numpy() for output in reference(torch.from_numpy(images))]
    with open_engine("onnxruntime", file) as engine:
        batch = engine(images)
        single = [np.concatenate(parts) for parts in zip(*(engine(image[None]) for image in images), strict=True)]
    for answers in (batch, single):
        for wanted, answer in zip(expected, answers, strict=True):
            difference = float(np.abs(answer - wanted).max()) / max(1.0, float(np.abs(wanted).max()))
            if not difference <= tolerance:  # also true of NaN
                raise OptimizeError(
                    f"The exported graph differs from the network by {difference:.2g}, more than {tolerance:g}."
                )


def _ask(file: Path, images: torch.Tensor) -> Tensors:
    with open_engine("onnxruntime", file) as engine:
        return tuple(torch.from_numpy(output) for output in engine(images.numpy()))


def _trace(served: Served, architecture: Architecture, outputs: tuple[str, ...], traces: Traces) -> onnx.ModelProto:
    size = architecture.image_size
    try:
        return traces.of(served, torch.zeros((2, size, size, 3), dtype=torch.uint8), outputs)
    except FettleError:
        raise
    except Exception as error:  # the exporter has no common base of its errors
        summary = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise OptimizeError(f"Family {architecture.family!r} cannot be exported to ONNX: {summary}") from error


def describe(
    path: Path, architecture: Architecture, *, recipe: str, resize: str, detections: DetectionConfig | None = None
) -> Export:
    """Return the manifest of a float32 ONNX export."""
    size, head, config = architecture.image_size, find_head(architecture.task), detections or DetectionConfig()
    return Export(
        path=path,
        task=architecture.task,
        classes=architecture.classes,
        recipe=recipe,
        format="onnx",
        precision="float32",
        runtimes=("onnxruntime", "openvino"),
        input=Tensor(INPUT, "uint8", (size, size, 3)),
        outputs=head.outputs(architecture, config),
        resize=resize,
        thresholds=head.thresholds(config),
    )
