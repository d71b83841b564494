"""The network: backbone, neck, predictors, decoder."""

import math
from typing import Any, cast

import timm
import torch
from torch import nn

from fettle.models.input_size import shrink_before
from fettle.models.yolov5.anchors import PER_SCALE, Anchors
from fettle.models.yolov5.blocks import ACTIVATIONS, EPS, MOMENTUM
from fettle.models.yolov5.decoding import STRIDES, Decoder
from fettle.models.yolov5.neck import PAN

OBJECTS, CLASS_SHARE = 8, 0.6  # an image of YOLOv5's prior holds eight objects at 640 px


class YOLOv5ResNet(nn.Module):
    """A detector.

    In train mode it maps normalized images (N, 3, S, S) to rows (N, A, 5 + C) for the loss, in eval mode to boxes
    (N, A, 4) and scores (N, A, C): see :class:`fettle.models.yolov5.decoding.Decoder`.

    Args:
        classes: Number of classes C.
        image_size: Height and width of the input in pixels, a multiple of 32.
        anchors: Nine (width, height) in pixels.
        backbone: Name of a ResNet of timm.
        pretrained: Download ImageNet weights for the backbone.
        width: Channels of the neck.
        depth: Bottlenecks a block of the neck.
        activation: ``silu`` or ``relu``, in the neck.
    """

    size_grid = STRIDES[-1]

    def __init__(
        self,
        classes: int,
        *,
        image_size: int,
        anchors: Anchors,
        backbone: str,
        pretrained: bool,
        width: int,
        depth: int,
        activation: str,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = timm.create_model(backbone, pretrained=pretrained, features_only=True, out_indices=(2, 3, 4))
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum, module.eps = MOMENTUM, EPS
        channels = cast(Any, self.backbone).feature_info.channels()
        self.neck = PAN(channels, width=width, depth=depth, activation=ACTIVATIONS[activation])
        self.heads = nn.ModuleList(nn.Conv2d(width, PER_SCALE * (5 + classes), 1) for _ in STRIDES)
        self.image_size, self.decode = image_size, Decoder(anchors, image_size)
        for head, stride in zip(self.heads, STRIDES, strict=True):
            _start_from_priors(head, stride, classes)

    @property
    def predictors(self) -> tuple[nn.Module, ...]:
        """The last convolutions: pruning keeps their outputs, quantization ends with them."""
        return tuple(self.heads)

    @property
    def class_layers(self) -> nn.ModuleList:
        """What depends on the number of classes."""
        return self.heads

    def look_at_smaller(self, input_size: int) -> None:
        """See :func:`fettle.models.input_size.look_at_smaller`: a cell of the smaller image is more pixels wide."""
        shrink_before(self, image_size=self.image_size, input_size=input_size)
        self.decode = Decoder(self.decode.anchors, self.image_size, input_size)

    def predict(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) to rows (N, A, 5 + C), before sigmoid."""
        features = self.neck(self.backbone(images))
        maps = [head(each) for head, each in zip(self.heads, features, strict=True)]
        # (N, 3 (5 + C), side, side) -> (N, 3, 5 + C, cells) -> (N, 3 cells, 5 + C)
        shape = PER_SCALE, 5 + self.classes
        return torch.cat([each.unflatten(1, shape).flatten(3).transpose(2, 3).flatten(1, 2) for each in maps], dim=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        rows = self.predict(images)
        if self.training:
            return rows
        found: tuple[torch.Tensor, torch.Tensor] = self.decode(rows)
        return found


def _start_from_priors(head: nn.Module, stride: int, classes: int) -> None:
    """Let an untrained head say what is likely (RetinaNet, Lin et al. 2017): hardly any cell holds an object."""
    assert isinstance(head, nn.Conv2d)
    assert head.bias is not None
    with torch.no_grad():
        bias = head.bias.view(PER_SCALE, -1)
        bias[:, 4] = math.log(OBJECTS / (640 / stride) ** 2)
        bias[:, 5:] = math.log(CLASS_SHARE / max(classes - CLASS_SHARE, CLASS_SHARE))
