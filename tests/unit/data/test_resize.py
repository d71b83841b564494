import numpy as np
import pytest

from fettle.data.resize import MODES, resize


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
