"""PyTorch to ONNX: one file with pre- and post-processing inside, checked against the network."""

import copy
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from fettle.errors import FettleError, OptimizeError
from fettle.export.served import Served, find_head
from fettle.export.tidy import tidy
from fettle.models.architecture import Architecture
from fettle.runtimes import open_engine

OPSET = 20
MAX_BATCH = 1024
TOLERANCE = 1e-4
INPUT = "image"

log = logging.getLogger("fettle")


def export_onnx(model: nn.Module, architecture: Architecture, file: Path) -> None:
    """Write ``model`` as an ONNX file that takes uint8 images and gives the task's answers.

    The graph's input is ``image``, uint8 (N, S, S, 3) RGB with a dynamic batch; for ``classify`` its
    output is ``probabilities``, float32 (N, C). The file is checked by ``onnx.checker``, simplified,
    and compared with the network on random images. The same weights give the same bytes.

    Args:
        model: Trained network; a copy is exported, from the CPU, in eval mode, in float32.
        architecture: Its task, input size and normalization.
        file: Where to write; the weights are inside the file.

    Raises:
        OptimizeError: If weights are not finite, or the graph cannot be made or answers differently.
    """
    head = find_head(architecture.task)
    check_finite(model)
    served = Served(copy.deepcopy(model).cpu().float(), architecture).eval()
    onnx.save(tidy(_trace(served, architecture, list(head.outputs))), file)
    check_parity(served, file, architecture.image_size)


def check_finite(model: nn.Module) -> None:
    """Refuse a network that was ruined in training.

    Raises:
        OptimizeError: If a weight or a statistic is NaN or infinite.
    """
    for name, value in model.state_dict().items():
        if not torch.isfinite(value).all():
            raise OptimizeError(f"The weights {name!r} are not finite: train again, with a smaller learning rate.")


def check_parity(served: Served, file: Path, size: int, *, tolerance: float = TOLERANCE) -> None:
    """Compare the file with the network that it was made from, alone and in a batch.

    Raises:
        OptimizeError: If an answer differs by more than ``tolerance``.
    """
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = served(torch.from_numpy(images)).numpy()
    with open_engine("onnxruntime", file) as engine:
        batch = engine(images)[0]
        single = np.concatenate([engine(image[None])[0] for image in images])
    for answer in (batch, single):
        difference = float(np.abs(answer - expected).max())
        if not difference <= tolerance:  # also true of NaN
            raise OptimizeError(
                f"The exported graph differs from the network by {difference:.2g}, more than {tolerance:g}."
            )


def _trace(served: Served, architecture: Architecture, outputs: list[str]) -> onnx.ModelProto:
    size = architecture.image_size
    example = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                served,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=outputs,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=MAX_BATCH)},),
                external_data=False,
                verbose=False,
            )
    except FettleError:
        raise
    except Exception as error:  # the exporter has no common base of its errors
        summary = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise OptimizeError(f"Family {architecture.family!r} cannot be exported to ONNX: {summary}") from error
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    return proto
