import numpy as np
import pytest
from PIL import Image, ImageOps

from fettle.data.resize import MODES, Placement, resize


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (9, 300), (32, 32)])
def test_result_is_square_rgb(mode, shape):
    image = np.full((*shape, 3), (10, 100, 200), np.uint8)
    result = resize(image, 32, mode)
    assert result.shape == (32, 32, 3)
    assert result.dtype == np.uint8
    assert tuple(result[16, 16]) == (10, 100, 200)


def marked(width: int = 60) -> np.ndarray:
    """Black, 20 high, with a white first and last column of 10."""
    image = np.zeros((20, width, 3), np.uint8)
    image[:, :10] = image[:, -10:] = 255
    return image


def test_squash_keeps_all_content():
    result = resize(marked(), 30, "squash")
    assert result[:, 0].min() == 255
    assert result[:, -1].min() == 255


def test_crop_cuts_the_long_sides():
    assert resize(marked(), 20, "crop").max() == 0


def test_pad_keeps_proportions_on_black():
    result = resize(np.full((20, 60, 3), 255, np.uint8), 30, "pad")
    assert result[10:20].min() == 255
    assert result[:9].max() == 0
    assert result[21:].max() == 0


def test_shrinking_does_not_alias():
    """Stripes finer than a target pixel become grey, not stripes of another width."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    result = resize(stripes, 30)[5:-5, 5:-5].astype(int)
    assert np.abs(result - 127.5).max() < 12


def test_image_of_the_right_size_is_returned_untouched():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize(image, 16), image)


REFERENCE = {
    "squash": lambda image, size: image.resize(size, Image.Resampling.BILINEAR),
    "crop": lambda image, size: ImageOps.fit(image, size, Image.Resampling.BILINEAR),
    "pad": lambda image, size: ImageOps.pad(image, size, Image.Resampling.BILINEAR, color=(0, 0, 0)),
}


@pytest.mark.parametrize("mode", MODES)
def test_pixels_are_those_of_pil(mode):
    """``resize`` computes the geometry itself, so that boxes follow it; PIL's own helpers are the reference."""
    generator = np.random.default_rng(0)
    for _ in range(40):
        height, width, size = generator.integers(8, 120, 3).tolist()
        image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = np.asarray(REFERENCE[mode](Image.fromarray(image), (size, size)))
        np.testing.assert_array_equal(resize(image, size, mode), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(100, 160), (160, 100), (64, 64), (37, 53), (120, 120)])
def test_a_white_rectangle_is_where_its_box_is(mode, shape):
    """The edges of what is drawn, found in the pixels of the square, are those of the mapped box."""
    height, width = shape
    box = np.array([[0.4 * width, 0.3 * height, 0.6 * width, 0.65 * height]]).round()
    left, top, right, bottom = box[0].astype(int)
    image = np.zeros((height, width, 3), np.uint8)
    image[top:bottom, left:right] = 255
    mass = resize(image, 64, mode)[..., 0] / 255.0
    placement = Placement.of(width, height, 64, mode)
    x0, y0, x1, y1 = placement.to_square(box)[0]
    assert mass.sum(axis=0).max() == pytest.approx(y1 - y0, abs=0.15)
    assert mass.sum(axis=1).max() == pytest.approx(x1 - x0, abs=0.15)
    rows, columns = np.indices(mass.shape) + 0.5
    assert (columns * mass).sum() / mass.sum() == pytest.approx((x0 + x1) / 2, abs=0.1)
    assert (rows * mass).sum() / mass.sum() == pytest.approx((y0 + y1) / 2, abs=0.1)
    np.testing.assert_allclose(placement.to_photo(placement.to_square(box)), box, atol=1e-4)


def test_boxes_in_the_padding_are_clipped_to_the_photograph():
    placement = Placement.of(100, 50, 64, "pad")
    np.testing.assert_allclose(placement.to_photo(np.array([[-5, 0, 64, 70]])), [[0, 0, 100, 50]])


def test_a_thread_of_an_image_keeps_a_pixel():
    assert resize(np.full((8, 4000, 3), 255, np.uint8), 32, "pad").max() == 255
