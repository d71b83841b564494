"""The module that is exported: uint8 photographs in, answers out, with the network in between."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import onnx
import torch
from torch import nn

from fettle.errors import OptimizeError
from fettle.export.manifest import Tensor
from fettle.export.reference import suppress
from fettle.export.suppression import CANDIDATES, READERS, add_suppression
from fettle.export.thresholds import detection_outputs
from fettle.export.views import MeanOfViews, UnitLength, Views
from fettle.models.architecture import Architecture
from fettle.models.families.arcface import DIMENSIONS
from fettle.spec import DetectionConfig, TtaConfig, VerificationConfig

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Head:
    """What a task makes of the network's output.

    Attributes:
        module: Builds the post-processing that torch can trace.
        traced: Names of its outputs.
        outputs: The graph's outputs, of one example.
        finish: Appends to the graph what torch cannot trace.
        reference: The same in torch: outputs of ``module`` to the graph's.
        thresholds: What may be set after the export.
        mean: (number of views) -> what averages the module's outputs over them; ``None`` where they have no mean.
    """

    module: Callable[[], nn.Module]
    traced: tuple[str, ...]
    outputs: Callable[[Architecture, DetectionConfig], tuple[Tensor, ...]]
    finish: Callable[[onnx.ModelProto, Architecture, DetectionConfig], onnx.ModelProto] = lambda model, *_: model
    reference: Callable[[Tensors, Architecture, DetectionConfig], Tensors] = lambda outputs, *_: outputs
    thresholds: Callable[[DetectionConfig], Mapping[str, float]] = lambda _: {}
    mean: Callable[[int], nn.Module] | None = None


def _probabilities(architecture: Architecture, _: DetectionConfig) -> tuple[Tensor, ...]:
    return (Tensor("probabilities", "float32", (len(architecture.classes),)),)


def _embedding(architecture: Architecture, _: DetectionConfig) -> tuple[Tensor, ...]:
    return (Tensor("embedding", "float32", (int(architecture.options.get("dimensions", DIMENSIONS)),)),)


HEADS: Mapping[str, Head] = MappingProxyType(
    {
        "classify": Head(lambda: nn.Softmax(dim=1), ("probabilities",), _probabilities, mean=MeanOfViews),
        "embed": Head(
            nn.Identity,
            ("embedding",),
            _embedding,
            thresholds=lambda _: VerificationConfig().model_dump(),
            mean=lambda views: nn.Sequential(MeanOfViews(views), UnitLength()),
        ),
        "detect": Head(
            nn.Identity,
            CANDIDATES,
            lambda _, config: detection_outputs(config.max_detections),
            lambda model, architecture, config: add_suppression(model, config, image_size=architecture.image_size),
            lambda candidates, architecture, config: suppress(candidates, config, image_size=architecture.image_size),
            lambda config: config.model_dump(include=set(READERS)),
        ),
    }
)


class Normalize(nn.Module):
    """(N, S, S, 3) uint8 RGB to (N, 3, S, S) float32, each channel ``(pixel / 255 - mean) / std``.

    Args:
        mean: Of each channel.
        std: Of each channel.
        views: What becomes of the pixels before: (N, 3, S, S) to as many, or more, images.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], views: nn.Module | None = None) -> None:
        super().__init__()
        self.views = views or nn.Identity()
        mean_, std_ = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * std_))
        self.register_buffer("shift", -mean_ / std_)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        # Cast first: TensorRT takes uint8 only at the graph's edge. Contiguous: with channels-last
        # strides the exporter writes average pooling as a gather.
        pixels = image.float().permute(0, 3, 1, 2).contiguous()
        viewed: torch.Tensor = self.views(pixels)
        return viewed * self.scale + self.shift


class Served(nn.Module):
    """Pre-processing, network and what torch can trace of the task's head, as one module.

    Args:
        model: The network.
        architecture: Its task, input size and normalization.
        tta: Views of the image whose answers are averaged.

    Raises:
        OptimizeError: If answers of the task have no mean.
    """

    def __init__(self, model: nn.Module, architecture: Architecture, tta: TtaConfig | None = None) -> None:
        super().__init__()
        head = find_head(architecture.task)
        views = Views(tta, image_size=architecture.image_size) if tta else None
        self.preprocess = Normalize(architecture.mean, architecture.std, views)
        self.model = model
        self.postprocess = head.module()
        if tta:
            if head.mean is None:
                raise OptimizeError(f"Answers of task {architecture.task!r} have no mean over views: leave `tta` out.")
            self.postprocess = nn.Sequential(self.postprocess, head.mean(len(tta.views)))

    def forward(self, image: torch.Tensor) -> Tensors:
        answer: torch.Tensor | Tensors = self.postprocess(self.model(self.preprocess(image)))
        return (answer,) if isinstance(answer, torch.Tensor) else answer


def find_head(task: str) -> Head:
    """Return the head of ``task``.

    Raises:
        OptimizeError: If the task has none yet.
    """
    if task not in HEADS:
        raise OptimizeError(f"Models for task {task!r} cannot be exported yet: the tasks are {', '.join(HEADS)}.")
    return HEADS[task]
