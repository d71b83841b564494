"""Which predictions answer for which box: chosen by IoU and centre distance, over all scales and anchors."""

from typing import NamedTuple

import torch

from fettle.models.yolov5.decoding import Decoder

# Two boxes whose sides differ by more than four times, the decoder's reach, have a smaller IoU.
MIN_IOU = 0.25


class Assignment(NamedTuple):
    """K predictions with a box, each at most once: all (K,) int64."""

    image: torch.Tensor
    row: torch.Tensor
    target: torch.Tensor


def assign(targets: torch.Tensor, decoder: Decoder) -> Assignment:
    """Assign the boxes of a batch.

    An anchor takes a box if the two, centre on centre, have an IoU of :data:`MIN_IOU`; the anchor that fits best takes
    it in any case. Of its scale's cells those answer whose centre is less than one cell away from the box's. What two
    boxes want goes to the one with the larger IoU x (1 - distance).

    Args:
        targets: (M, 6) image of the batch, class, xyxy in pixels.
        decoder: Gives anchors, strides and cells.
    """
    anchors = torch.tensor(decoder.anchors, device=targets.device)
    size = targets[:, 4:6] - targets[:, 2:4]
    iou = _shape_iou(size, anchors)  # (M, 9)
    fits = iou >= MIN_IOU
    if len(targets):
        fits[torch.arange(len(fits)), iou.argmax(1)] = True
    target, anchor = fits.nonzero(as_tuple=True)
    row, distance = _cells((targets[target, 2:4] + targets[target, 4:6]) / 2, anchor, decoder)
    pair, near = (distance < 1).nonzero(as_tuple=True)
    target, row = target[pair], row[pair, near]
    quality = iou[target, anchor[pair]] * (1 - distance[pair, near])
    return _each_once(targets[target, 0].long(), row, target, quality, rows=len(decoder.stride))


def _shape_iou(sizes: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    common = torch.minimum(sizes[:, None], anchors[None]).prod(2)
    return common / (sizes.prod(1)[:, None] + anchors.prod(1)[None] - common)


def _cells(centre: torch.Tensor, anchor: torch.Tensor, decoder: Decoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows of the 3x3 cells around each centre (K, 9), and how many cells away theirs are.

    Cells outside the image are infinitely far.
    """
    scale, of_scale, sides = anchor // 3, anchor % 3, decoder.sides
    stride, side = (torch.tensor(each, device=centre.device)[scale] for each in (decoder.strides, sides))
    begin = torch.tensor([sum(3 * each * each for each in sides[:scale]) for scale in range(len(sides))])
    begin = begin.to(centre.device)[scale] + of_scale * side * side
    position = centre / stride[:, None]
    own = torch.minimum(position.floor(), side[:, None] - 1)
    ticks = torch.arange(-1, 2, device=centre.device)
    cell = own[:, None] + torch.cartesian_prod(ticks, ticks)  # (K, 9, 2)
    distance = (cell + 0.5 - position[:, None]).norm(dim=2)
    outside = ((cell < 0) | (cell >= side[:, None, None])).any(dim=2)
    row = begin[:, None] + cell[..., 1].long() * side[:, None] + cell[..., 0].long()
    return row, distance.masked_fill(outside, torch.inf)


def _each_once(
    image: torch.Tensor, row: torch.Tensor, target: torch.Tensor, quality: torch.Tensor, *, rows: int
) -> Assignment:
    order = quality.argsort(descending=True, stable=True)
    image, row, target = image[order], row[order], target[order]
    _, wanted = torch.unique(image * rows + row, return_inverse=True)
    place = torch.arange(len(wanted), device=wanted.device)
    first = torch.full_like(place, len(place)).scatter_reduce(0, wanted, place, "amin")
    keep = first[wanted] == place
    return Assignment(image[keep], row[keep], target[keep])
