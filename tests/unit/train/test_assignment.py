"""Who answers for which box, on cases that a hand can follow."""

import pytest
import torch

from fettle.models.yolov5.decoding import Decoder
from fettle.train.assignment import assign

# One anchor a scale that matters; the others fit nothing.
ANCHORS = [[8, 8], [1000, 1], [1, 1000], [32, 32], [1000, 2], [2, 1000], [64, 64], [1000, 3], [3, 1000]]
DECODER = Decoder(ANCHORS, 64)
SECOND, THIRD = 3 * 64, 3 * 64 + 3 * 16  # where the rows of strides 16 and 32 begin


def assigned(*boxes: tuple[float, float, float, float], image: int = 0) -> dict[int, int]:
    """Return the box of each row that has one."""
    rows = [[image, 0, *box] for box in boxes]
    found = assign(torch.tensor(rows).reshape(-1, 6), DECODER)
    assert set(found.image.tolist()) <= {image}
    assert len(set(found.row.tolist())) == len(found.row)
    return dict(zip(found.row.tolist(), found.target.tolist(), strict=True))


def test_a_box_in_the_middle_of_a_cell_belongs_to_that_cell_of_the_anchor_that_fits() -> None:
    assert assigned((16, 24, 24, 32)) == {3 * 8 + 2: 0}  # 8 px, centre (20, 28): column 2, row 3 of stride 8


def test_neighbours_answer_whose_centres_are_less_than_a_cell_away() -> None:
    found = assigned((18, 24, 26, 32))  # centre (22, 28): column 2 at .25 and column 3 at .75 of a cell
    assert set(found) == {3 * 8 + 2, 3 * 8 + 3}


def test_on_a_corner_four_cells_are_equally_near() -> None:
    assert set(assigned((20, 20, 28, 28))) == {2 * 8 + 2, 2 * 8 + 3, 3 * 8 + 2, 3 * 8 + 3}


def test_a_box_between_two_anchors_goes_to_both_scales() -> None:
    found = assigned((9, 9, 55, 55))  # 46 px: IoU .48 with 32 px and .52 with 64 px
    assert any(SECOND <= row < THIRD for row in found)
    assert any(row >= THIRD for row in found)
    assert not any(row < SECOND for row in found)


def test_a_box_that_no_anchor_fits_goes_to_the_best() -> None:
    found = assigned((30, 30, 33, 33))  # 3 px: IoU .14 with 8 px
    assert found
    assert all(row < 64 for row in found)


def test_two_boxes_never_share_a_row_and_the_better_one_wins() -> None:
    small, exact = (17, 25, 23, 31), (16, 24, 24, 32)
    assert assigned(small, exact) == {3 * 8 + 2: 1}
    assert assigned(exact, small) == {3 * 8 + 2: 0}


@pytest.mark.parametrize("box", [(56, 56, 64, 64), (60, 60, 64, 64), (0, 0, 8, 8), (63, 63, 65, 65)])
def test_boxes_at_the_edge_stay_inside(box: tuple[float, float, float, float]) -> None:
    assert assigned(box)
    assert all(0 <= row < len(DECODER.stride) for row in assigned(box))


def test_images_are_kept_apart_and_none_is_fine() -> None:
    assert set(assigned((16, 24, 24, 32), image=3)) == {3 * 8 + 2}
    assert len(assign(torch.zeros(0, 6), DECODER).row) == 0


def test_every_assigned_row_can_reach_its_box() -> None:
    """The decoder reaches a cell's width around the centre of the cell, and four times the anchor."""
    generator = torch.Generator().manual_seed(0)
    corner = 40 * torch.rand(200, 2, generator=generator)
    size = 6 + 18 * torch.rand(200, 2, generator=generator)
    decoder = Decoder([[side, side] for side in (6, 8, 10, 14, 18, 22, 24, 28, 32)], 64)
    image = torch.arange(200.0)[:, None]
    targets = torch.cat([image, torch.zeros(200, 1), corner, corner + size], dim=1)
    found = assign(targets, decoder)
    box = targets[found.target, 2:]
    centre, sides = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
    stride, anchor = decoder.stride[found.row], decoder.anchor[found.row]
    assert ((centre - decoder.corner[found.row] - stride / 2).abs() < stride).all()
    assert (sides <= 4 * anchor).all()
    assert set(found.target.tolist()) == set(range(200)), "every box has an answer"
