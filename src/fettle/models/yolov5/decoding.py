"""From what the network predicts to boxes in pixels, and back."""

from collections.abc import Sequence

import torch
from torch import nn

from fettle.models.yolov5.anchors import PER_SCALE, Anchors

STRIDES = (8, 16, 32)


class Decoder(nn.Module):
    """Decodes rows (x, y, w, h, objectness, C classes) as YOLOv5 does: plain arithmetic, row by row.

    The centre lies within a cell's width of the centre of its cell, the sides are up to four times the anchor's::

        centre = stride * (2 sigmoid(xy) - 1/2 + cell)        side = anchor * (2 sigmoid(wh))^2

    Row A of an image belongs to scale, anchor, row and column of the cell, in this order.

    Args:
        anchors: Nine (width, height) in pixels, three a scale, fine scales first.
        image_size: Height and width of the image in pixels; boxes are in these.
        input_size: The same of what the layers see, where that is smaller.
    """

    stride: torch.Tensor
    corner: torch.Tensor
    anchor: torch.Tensor

    def __init__(self, anchors: Anchors, image_size: int, input_size: int | None = None) -> None:
        super().__init__()
        self.anchors, self.sides = anchors, tuple((input_size or image_size) // stride for stride in STRIDES)
        self.strides = tuple(image_size / side for side in self.sides)
        scales = [
            _scale(_of_scale(anchors, scale), stride, side)
            for scale, (stride, side) in enumerate(zip(self.strides, self.sides, strict=True))
        ]
        for name, parts in zip(("stride", "corner", "anchor"), zip(*scales, strict=True), strict=True):
            self.register_buffer(name, torch.cat(parts), persistent=False)

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, A, 5 + C) float32 to boxes (N, A, 4), xyxy in pixels, and scores (N, A, C) in [0, 1]."""
        share = rows.sigmoid()
        return self._boxes(share, self.stride, self.corner, self.anchor), share[..., 4:5] * share[..., 5:]

    def boxes(self, rows: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Decode single rows: (K, 5 + C), and which of the A each is, (K,), to (K, 4)."""
        return self._boxes(rows.sigmoid(), self.stride[index], self.corner[index], self.anchor[index])

    @staticmethod
    def _boxes(share: torch.Tensor, stride: torch.Tensor, corner: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
        centre = share[..., 0:2] * (2 * stride) + (corner - 0.5 * stride)
        half = share[..., 2:4] * share[..., 2:4] * (2 * anchor)
        return torch.cat([centre - half, centre + half], dim=-1)


def _scale(
    anchors: Sequence[Sequence[float]], stride: float, side: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the stride (A, 1), the corner of the cell (A, 2) and the anchor (A, 2) of a scale's rows, in pixels."""
    sizes = torch.tensor(anchors, dtype=torch.float32)
    ticks = stride * torch.arange(side, dtype=torch.float32)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    cells = torch.stack([x, y], dim=-1).view(-1, 2)
    rows = PER_SCALE * len(cells)
    return (
        torch.full((rows, 1), stride),
        cells.repeat(PER_SCALE, 1),
        sizes.repeat_interleave(len(cells), dim=0),
    )


def _of_scale(anchors: Anchors, scale: int) -> Sequence[Sequence[float]]:
    return anchors[scale * PER_SCALE : (scale + 1) * PER_SCALE]
