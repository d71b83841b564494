"""Boxes move with their images, whatever is done to these."""

import numpy as np
import pytest
import torch

from fettle.data.augment import Scene, scene_augmenter
from fettle.data.dataset import Dataset
from fettle.errors import SpecError
from fettle.train.scenes import Scenes, blend, make_mosaic

KEYS = np.arange(8), np.arange(8).astype(np.uint32)
FLIPS = [{"HorizontalFlip": {"p": 0.5}}, {"Affine": {"scale": [0.7, 1.3], "p": 1.0}}]


def lit(scene: Scene) -> Scene:
    """Paint what the boxes say: white inside, black outside."""
    image = np.zeros_like(scene.image)
    for left, top, right, bottom in scene.xyxy.round().astype(int):
        image[top:bottom, left:right] = 255
    return Scene(image, scene.xyxy, scene.labels)


def scene(*boxes: tuple[int, int, int, int], size: int = 64) -> Scene:
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    return lit(Scene(np.zeros((size, size, 3), np.uint8), xyxy, np.arange(len(boxes))))


def agrees(made: Scene) -> bool:
    """Tell whether the white pixels are those in the boxes, but for the edges."""
    return float(np.abs(lit(made).image.astype(float) - made.image).mean()) < 255 * 0.03


@pytest.mark.parametrize("seed", range(8))
def test_boxes_follow_their_pixels(seed: int) -> None:
    made = scene_augmenter(FLIPS)(scene((8, 8, 30, 24), (40, 36, 60, 60)), seed)
    assert agrees(made)
    again = scene_augmenter(FLIPS)(scene((8, 8, 30, 24), (40, 36, 60, 60)), seed)
    assert np.array_equal(made.image, again.image)
    assert np.array_equal(made.xyxy, again.xyxy)


@pytest.mark.parametrize("seed", range(8))
def test_a_mosaic_shows_four_images_with_their_boxes(seed: int) -> None:
    parts = [scene((8, 8, 30, 24)), scene((10, 30, 50, 50)), scene((0, 0, 20, 20)), scene((30, 30, 64, 64))]
    made = make_mosaic(parts, np.random.default_rng(seed))
    assert made.image.shape == (64, 64, 3)
    assert agrees(made)
    assert made.xyxy.min(initial=0) >= 0
    assert made.xyxy.max(initial=0) <= 64
    assert len(made.xyxy) == len(made.labels) >= 1


def test_a_box_that_is_hardly_there_any_more_goes() -> None:
    far = [scene((0, 0, 4, 60))] + [scene()] * 3
    lost = [make_mosaic(far, np.random.default_rng(seed)) for seed in range(30)]
    assert {len(made.labels) for made in lost} == {0, 1}
    assert all((made.xyxy[:, 2:] - made.xyxy[:, :2]).min(initial=9) >= 2 for made in lost)


def test_blending_shows_both() -> None:
    made = blend(scene((0, 0, 10, 10)), scene((20, 20, 40, 40)), share=0.5)
    assert made.image[5, 5, 0] == made.image[30, 30, 0] == 128
    assert len(made.xyxy) == 2


def test_an_image_without_a_box_stays_one() -> None:
    made = scene_augmenter(FLIPS)(scene(), 0)
    assert made.xyxy.shape == (0, 4)
    assert made.labels.shape == (0,)


def test_batches_follow_from_the_seeds_alone(scenes: Dataset) -> None:
    train = scenes.subset("train")
    settings = {"mosaic": 0.5, "mixup": 0.5}
    first, second = (Scenes(train, scene_augmenter(FLIPS), **settings) for _ in range(2))
    for one, other in zip(first[KEYS], second[KEYS], strict=True):
        assert torch.equal(one, other)
    half = KEYS[0][4:], KEYS[1][4:]
    assert torch.equal(first[half][0], first[KEYS][0][4:])
    assert not torch.equal(first[KEYS[0], KEYS[1] + 100][0], first[KEYS][0])


def test_plain_batches_are_the_stored_images_and_boxes(scenes: Dataset) -> None:
    val = scenes.subset("val")
    source = Scenes(val)
    assert not source.augments
    images, targets = source[np.arange(len(val)), np.zeros(len(val), np.uint32)]
    assert np.array_equal(images.numpy(), val.images)
    assert np.array_equal(targets[:, 2:].numpy(), val.boxes.xyxy)
    assert np.array_equal(targets[:, 1].numpy(), val.boxes.labels)
    assert np.array_equal(np.bincount(targets[:, 0].int(), minlength=len(val)), val.boxes.counts)


def test_what_would_leave_boxes_behind_is_refused() -> None:
    with pytest.raises(SpecError, match=r"train.augment: CoarseDropout3D cannot move boxes"):
        scene_augmenter([{"HorizontalFlip": {}}, {"CoarseDropout3D": {}}])
