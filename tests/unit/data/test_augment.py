import subprocess
import sys

import numpy as np
import pytest

from fettle.data.augment import augmenter
from fettle.errors import SpecError
from fettle.spec.presets import PRESETS

FLIPS = [{"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}}]


@pytest.mark.parametrize("preset", [name for name in PRESETS if PRESETS[name]["augment"]])
@pytest.mark.parametrize("side", [32, 112])
def test_presets_are_valid_and_keep_size_and_type(preset, side, picture):
    augment = augmenter(PRESETS[preset]["augment"])
    image = picture(0, size=(side, side))
    results = [augment(image, seed) for seed in range(40)]
    assert {(result.shape, result.dtype) for result in results} == {((side, side, 3), np.dtype(np.uint8))}
    assert any((result != image).any() for result in results)


@pytest.mark.parametrize("preset", [name for name in PRESETS if PRESETS[name]["augment"]])
def test_every_transform_of_a_preset_runs(preset, picture):
    for entry in PRESETS[preset]["augment"]:
        ((name, arguments),) = entry.items()
        always = augmenter([{name: {**arguments, "p": 1.0}}])
        assert always(picture(0, size=(48, 48)), 0).shape == (48, 48, 3)


def test_result_depends_on_image_and_seed_alone(picture):
    image, transforms = picture(0), PRESETS["expression"]["augment"]
    one, other = augmenter(transforms), augmenter(transforms)
    expected = [one(image, seed) for seed in range(10)]
    np.random.seed(7)
    for seed in reversed(range(10)):
        np.testing.assert_array_equal(other(image, seed), expected[seed])
    assert len({result.tobytes() for result in expected}) == 10


def test_transforms_draw_independently():
    """With one seed for each of them, as albumentations sets it, two flips would always go together."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[0, 0] = 255
    augment = augmenter(FLIPS)
    corners = [tuple(np.argwhere(augment(image, seed)[..., 0])[0].tolist()) for seed in range(400)]
    counts = [corners.count(corner) for corner in ((0, 0), (0, 7), (7, 0), (7, 7))]
    assert sum(counts) == 400
    assert min(counts) > 70


def test_lists_stand_for_tuples(picture):
    augmenter([{"CoarseDropout": {"num_holes_range": [1, 2], "hole_height_range": [2, 3], "hole_width_range": [2, 3]}}])


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([{"HorizontalFlop": {}}], "no transform 'HorizontalFlop'. Did you mean HorizontalFlip"),
        ([{"Compose": {}}], "no transform 'Compose'"),
        ([{"HorizontalFlip": {"prob": 0.5}}], "HorizontalFlip refuses .*prob"),
        ([{"HorizontalFlip": {"p": 2}}], "HorizontalFlip refuses"),
        ([{"GaussNoise": {"std_range": "much"}}], "GaussNoise refuses"),
        ([{"Resize": {}}], "Resize refuses"),
        ([{"HorizontalFlip": {}, "VerticalFlip": {}}], "each entry is"),
        (["HorizontalFlip"], "each entry is"),
    ],
)
def test_mistakes_are_named(transforms, message):
    with pytest.raises(SpecError, match=message):
        augmenter(transforms)


def test_import_asks_nothing_of_the_net():
    """A socket that cannot connect ends the process: albumentations looks for updates unless it is told not to."""
    code = (
        "import os, socket, sys\n"
        "socket.socket.connect = lambda *_: os._exit(3)\n"
        "socket.getaddrinfo = lambda *_, **__: os._exit(3)\n"
        "from fettle.data.augment import augmenter\n"
        "augmenter([{'HorizontalFlip': {}}])\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
