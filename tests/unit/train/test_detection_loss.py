"""The loss against arithmetic written down independently."""

import math

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou, complete_box_iou_loss

from fettle.models.yolov5.anchors import default_anchors
from fettle.models.yolov5.decoding import Decoder
from fettle.spec import DetectionLossConfig
from fettle.train.assignment import assign
from fettle.train.detection_loss import DetectionLoss, iou

DECODER = Decoder(default_anchors(64), 64)
ROWS = len(DECODER.stride)
TARGETS = torch.tensor([[0, 1, 10, 12, 30, 28], [0, 0, 34, 40, 60, 62], [1, 1, 5, 30, 41, 62]], dtype=torch.float32)
NEVER, ALWAYS = -20.0, 20.0


def random_boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = 40 * torch.rand(count, 2, generator=generator)
    return torch.cat([corner, corner + 4 + 20 * torch.rand(count, 2, generator=generator)], dim=1)


def ciou(a: np.ndarray, b: np.ndarray) -> float:
    """Zheng et al. 2020, equations 1, 10 and 11, for one pair."""
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    common = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    overlap = common / union
    apart = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    v = 4 / math.pi**2 * (math.atan((b[2] - b[0]) / (b[3] - b[1])) - math.atan((a[2] - a[0]) / (a[3] - a[1]))) ** 2
    return overlap - apart / diagonal - v * v / (1 - overlap + v + 1e-7)


def test_ciou_is_what_the_paper_says() -> None:
    boxes, others = random_boxes(50, 0), random_boxes(50, 1)
    expected = [1 - ciou(a, b) for a, b in zip(boxes.double().numpy(), others.double().numpy(), strict=True)]
    np.testing.assert_allclose(complete_box_iou_loss(boxes, others).numpy(), expected, rtol=1e-4)


def test_iou_pair_by_pair_is_the_diagonal_of_all_pairs() -> None:
    boxes, others = random_boxes(50, 2), random_boxes(50, 3)
    torch.testing.assert_close(iou(boxes, others), box_iou(boxes, others).diagonal())


def perfect(targets: torch.Tensor = TARGETS) -> torch.Tensor:
    """Return the rows that a network would give that knows the boxes: the decoder's inverse."""
    rows = torch.full((2, ROWS, 7), NEVER, dtype=torch.float64)
    image, row, target = assign(targets, DECODER)
    box = targets[target, 2:].double()
    stride, corner, anchor = DECODER.stride[row], DECODER.corner[row], DECODER.anchor[row]
    centre = ((box[:, :2] + box[:, 2:]) / 2 - corner) / stride
    rows[image, row, 0:2] = torch.logit((centre + 0.5) / 2)
    rows[image, row, 2:4] = torch.logit(((box[:, 2:] - box[:, :2]) / anchor).sqrt() / 2)
    rows[image, row, 4] = ALWAYS
    rows[image, row, 5 + targets[target, 1].long()] = ALWAYS
    return rows.float()


def test_decoding_inverts_what_is_assigned_and_the_loss_is_nothing() -> None:
    rows = perfect()
    boxes, scores = DECODER(rows)
    image, row, target = assign(TARGETS, DECODER)
    torch.testing.assert_close(boxes[image, row], TARGETS[target, 2:], atol=1e-2, rtol=0)
    assert (scores[image, row, TARGETS[target, 1].long()] > 0.999).all()
    loss, (box, objectness, classes, overlap) = DetectionLoss(DetectionLossConfig())(rows, TARGETS, DECODER)
    assert max(loss, box, objectness, classes) < 1e-3
    assert overlap > 0.999


def test_the_parts_are_weighted_as_configured() -> None:
    torch.manual_seed(0)
    rows, config = torch.randn(2, ROWS, 7), DetectionLossConfig(box=0.1, objectness=1.5, classification=0.8)
    loss, (box, objectness, classes, _) = DetectionLoss(config)(rows, TARGETS, DECODER)
    assert loss.item() == pytest.approx((0.1 * box + 1.5 * objectness + 0.8 * classes).item(), rel=1e-5)


def test_a_batch_without_a_box_teaches_that_nothing_is_there() -> None:
    rows = torch.zeros(2, ROWS, 7, requires_grad=True)
    loss, (box, objectness, classes, overlap) = DetectionLoss(DetectionLossConfig())(rows, torch.zeros(0, 6), DECODER)
    assert box == classes == overlap == 0
    assert objectness.item() == pytest.approx((4 + 1 + 0.4) * math.log(2), rel=1e-5)
    loss.backward()
    assert rows.grad is not None
    assert (rows.grad[..., 4] > 0).all()
    assert torch.isfinite(rows.grad).all()


def test_smoothing_moves_the_best_class_score_off_one() -> None:
    rows, smooth = perfect(), DetectionLoss(DetectionLossConfig(), smoothing=0.2)
    image, row, target = assign(TARGETS, DECODER)

    def classes(share: float) -> float:
        told = rows.clone()
        own = 5 + TARGETS[target, 1].long()
        told[image, row, 5:] = math.log((1 - share) / share)
        told[image, row, own] = math.log(share / (1 - share))
        return float(smooth(told, TARGETS, DECODER)[1][2])

    assert classes(0.9) < classes(0.8)
    assert classes(0.9) < classes(0.99)


def test_focal_loss_counts_what_is_right_less() -> None:
    plain, focal = (DetectionLoss(DetectionLossConfig(focal=gamma)) for gamma in (0.0, 2.0))
    logit, one = torch.tensor([3.0]), torch.tensor([1.0])
    share = 1 / (1 + math.exp(-3))
    expected = -math.log(share) * 0.25 * (1 - share) ** 2
    assert focal._cross_entropy(logit, one).item() == pytest.approx(expected, rel=1e-4)
    assert plain._cross_entropy(logit, one).item() == pytest.approx(-math.log(share), rel=1e-4)
