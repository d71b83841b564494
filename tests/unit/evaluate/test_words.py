"""Numbers in words."""

import numpy as np
import pytest

from fettle.evaluate import words
from fettle.evaluate.intervals import paired_difference


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.5, "2.0x faster"), (0.9, "10% faster"), (1.2, "20% slower"), (3.0, "3.0x slower"), (1.0, "0% slower")],
)
def test_speed(ratio: float, text: str) -> None:
    assert words.speed(ratio) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(-0.004, "-0.40 points"), (0.0125, "+1.25 points"), (0.0, "0.00 points"), (-1e-9, "0.00 points")],
)
def test_points_have_a_sign_but_zero_has_none(share: float, text: str) -> None:
    assert words.points(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(5.0, "5.00 ms"), (12.34, "12.3 ms"), (0.0512, "0.0512 ms"), (1234, "1234 ms")]
)
def test_milliseconds_have_three_digits(value: float, text: str) -> None:
    assert words.milliseconds(value) == text


def test_no_difference_is_said_so() -> None:
    right = paired_difference_of([True] * 5, [True] * 5)
    assert words.difference(right) == "0.00 points (right and wrong on the same images)"
    assert "images lost 1, gained 1" in words.difference(paired_difference_of([True, False], [False, True]))


def paired_difference_of(candidate: list[bool], baseline: list[bool]):
    return paired_difference(np.array(candidate), np.array(baseline))
