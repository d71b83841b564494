"""Which images quantizers see: never those of val and test."""

from types import SimpleNamespace

import numpy as np
import pytest

from fettle.errors import DataError
from fettle.optimize.calibration import batches, calibration_images


def dataset(**sizes: int):
    """A stand-in whose images say their split and row."""
    codes = {"train": 1, "calib": 2, "val": 3, "test": 4}

    def subset(split: str):
        images = np.zeros((sizes.get(split, 0), 4, 4, 3), np.uint8)
        images[:, 0, 0, 0] = codes[split]
        images[:, 0, 0, 1] = np.arange(len(images))
        return SimpleNamespace(images=images)

    return SimpleNamespace(subset=subset)


def seen(images: np.ndarray) -> tuple[set[int], list[int]]:
    return set(images[:, 0, 0, 0].tolist()), images[:, 0, 0, 1].tolist()


def test_they_come_from_calib_spread_over_it():
    assert seen(calibration_images(dataset(train=9, calib=100, val=9, test=9), 5)) == ({2}, [0, 25, 50, 74, 99])


def test_fewer_than_wanted_are_all():
    assert seen(calibration_images(dataset(calib=3), 200)) == ({2}, [0, 1, 2])


def test_without_calib_they_come_from_train():
    assert seen(calibration_images(dataset(train=4, val=9, test=9), 4)) == ({1}, [0, 1, 2, 3])


def test_val_and_test_are_never_looked_at():
    with pytest.raises(DataError, match="calib and the train split are empty"):
        calibration_images(dataset(val=9, test=9), 4)


def test_batches_cover_the_images_in_order():
    images = calibration_images(dataset(calib=7), 7)
    parts = list(batches(images, 3))
    assert [len(part) for part in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(parts), images)
