"""YOLOv8 with decoded outputs, and the C2f block in the form that can be pruned."""

from typing import Any

import torch
from torch import nn

from fettle.errors import SpecError
from fettle.models.depth import keep_place
from fettle.models.input_size import shrink_before
from fettle.models.yolov8 import offline

offline.load()

from ultralytics.nn.modules import C2f, Conv, Detect  # noqa: E402
from ultralytics.nn.tasks import DetectionModel  # noqa: E402
from ultralytics.utils import ROOT, YAML  # noqa: E402

SIZES = ("n", "s", "m")
CONFIG = ROOT / "cfg/models/v8/yolov8.yaml"
STRIDE = 32


class Network(DetectionModel):  # type: ignore[misc]
    """Ultralytics' network, trained in :attr:`arithmetic` where it is set: its own trainer has no autocast on CPUs."""

    arithmetic: torch.dtype | None = None

    def predict(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        enabled = self.training and self.arithmetic is not None
        with torch.autocast(x.device.type, self.arithmetic, enabled=enabled):
            return super().predict(x, *args, **kwargs)


class YOLOv8(nn.Module):
    """YOLOv8: (N, 3, S, S) pixels in [0, 1] to boxes and scores before NMS.

    In train mode it gives what Ultralytics' ``v8DetectionLoss`` takes.

    Args:
        network: Ultralytics' network; :attr:`network` is what its trainer trains.
        image_size: Height and width in pixels.
    """

    points: torch.Tensor
    strides: torch.Tensor
    bins: torch.Tensor
    size_grid = STRIDE

    def __init__(self, network: Network, image_size: int) -> None:
        super().__init__()
        self.network, self.image_size = network, image_size
        bins = torch.arange(self.head.reg_max, dtype=torch.float32).view(1, 1, -1, 1)
        self.register_buffer("bins", bins, persistent=False)
        self._lay_anchors(image_size)

    def look_at_smaller(self, input_size: int) -> None:
        """See :func:`fettle.models.input_size.look_at_smaller`: a cell of the smaller image is more pixels wide."""
        # Its trainer calls the inner network, and we its layers: the first one is what both have in common.
        shrink_before(self.network.model[0], image_size=self.image_size, input_size=input_size)
        self.head.stride = self.network.stride * (self.image_size / input_size)  # what the loss and Ultralytics go by
        self.head.shape = None  # of the features that its anchors were laid for
        self._lay_anchors(input_size)

    def _lay_anchors(self, input_size: int) -> None:
        sides = [input_size // int(stride) for stride in self.network.stride]
        for name, value in zip(("points", "strides"), anchor_points(self.image_size, sides), strict=True):
            self.register_buffer(name, value, persistent=False)

    @property
    def head(self) -> Detect:
        return self.network.model[-1]

    @property
    def predictors(self) -> tuple[nn.Module, ...]:
        """The last convolutions: of the boxes' sides, then of the classes, at each scale."""
        return tuple(branch[-1] for branches in (self.head.cv2, self.head.cv3) for branch in branches)

    @property
    def class_layers(self) -> nn.Module:
        """The layers whose widths depend on the number of classes."""
        return self.head.cv3  # type: ignore[no-any-return]

    def forward(self, images: torch.Tensor) -> Any:
        """Return boxes (N, A, 4) float32 xyxy in pixels and scores (N, A, C) float32 in [0, 1]."""
        if self.training:
            return self.network(images)
        raw = self._predict(images)
        return self.decode(raw["boxes"].float()), raw["scores"].float().sigmoid().transpose(1, 2)

    def decode(self, sides: torch.Tensor) -> torch.Tensor:
        """Return the boxes of logits over the distances of their sides from the anchor point.

        The expectation of a distribution over whole cells (Li et al. 2020, arXiv:2006.04388), as plain arithmetic
        instead of Ultralytics' convolution: what is quantized ends before it.

        Args:
            sides: (N, 4 * bins, A) left, top, right, bottom.
        """
        distances = (sides.view(sides.shape[0], 4, -1, sides.shape[2]).softmax(2) * self.bins).sum(2)
        corners = torch.cat([self.points - distances[:, :2], self.points + distances[:, 2:]], 1)
        return (corners * self.strides).transpose(1, 2)

    def _predict(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run all layers but the decoding of the last one."""
        x: Any = images
        outputs: list[Any] = []
        for layer in list(self.network.model)[:-1]:  # a slice would be a module of another name
            x = layer(_inputs(layer, x, outputs))
            outputs.append(x)
        raw: dict[str, torch.Tensor] = self.head.forward_head(_inputs(self.head, x, outputs), **self.head.one2many)
        return raw


class SplitC2f(nn.Module):
    """A C2f block whose first convolution is written as two: the half that is carried on, and the half that goes on.

    The block's ``chunk`` ties channels that have nothing to do with one another, which Torch-Pruning cannot follow.
    """

    def __init__(self, block: C2f) -> None:
        super().__init__()
        self.skip, self.main = (half(block.cv1, rows) for rows in (slice(block.c), slice(block.c, None)))
        self.m, self.cv2 = block.m, block.cv2
        keep_place(block, self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = [self.skip(x), self.main(x)]
        for bottleneck in self.m:
            outputs.append(bottleneck(outputs[-1]))
        joined: torch.Tensor = self.cv2(torch.cat(outputs, 1))
        return joined


def build(classes: int, *, image_size: int, pretrained: bool, size: str, split_c2f: bool) -> YOLOv8:
    """Build the network; see :func:`fettle.models.families.yolov8.yolov8`."""
    if size not in SIZES:
        raise SpecError(f"`model.options.size` must be one of {', '.join(SIZES)}, got {size!r}.")
    if image_size % STRIDE:
        raise SpecError(f"`model.image_size` must be a multiple of {STRIDE} for yolov8, got {image_size}.")
    network = Network({**YAML.load(CONFIG), "scale": size}, nc=classes, verbose=False)
    if pretrained:
        from fettle.models.yolov8.coco import load_coco

        load_coco(network, size)
    model = YOLOv8(network, image_size)
    if split_c2f:
        split(model)
    return model


def split(model: YOLOv8) -> None:
    """Replace every C2f block by its split form, in place."""
    layers = model.network.model
    for index, layer in enumerate(layers):
        if isinstance(layer, C2f):
            layers[index] = SplitC2f(layer)


def half(conv: Conv, rows: slice) -> Conv:
    """Return a convolution with its norm that gives some of the output channels of ``conv``."""
    state = {name: value[rows] if value.ndim else value for name, value in conv.state_dict().items()}
    part = Conv(conv.conv.in_channels, len(state["conv.weight"]), conv.conv.kernel_size, conv.conv.stride)
    part.load_state_dict(state)
    part.bn.eps, part.bn.momentum = conv.bn.eps, conv.bn.momentum
    return part.train(conv.training)


def anchor_points(image_size: int, sides: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the centres of all cells in units of the cell, (2, A) float32, and the cells' sizes in pixels, (1, A).

    Args:
        image_size: Height and width of the image in pixels.
        sides: How many cells a scale has in a row.
    """
    points, sizes = [], []
    for side in sides:
        centres = torch.arange(side, dtype=torch.float32) + 0.5
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        points.append(torch.stack([x.flatten(), y.flatten()]))
        sizes.append(torch.full((1, x.numel()), image_size / side))
    return torch.cat(points, 1), torch.cat(sizes, 1)


def _inputs(layer: Any, previous: Any, outputs: list[Any]) -> Any:
    """Return what ``layer`` takes: -1 is the output before it, others are numbered from the first layer."""
    if layer.f == -1:
        return previous
    return outputs[layer.f] if isinstance(layer.f, int) else [previous if i == -1 else outputs[i] for i in layer.f]
