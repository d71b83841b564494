"""Anchors on clusters that are known."""

import numpy as np
import pytest

from fettle.models.yolov5.anchors import default_anchors, fit_anchors, shape_iou

TRUE = [[8, 8], [12, 28], [30, 13], [25, 25], [20, 60], [60, 24], [50, 50], [40, 90], [100, 100]]


def test_anchors_are_the_middles_of_clusters_sorted_by_area() -> None:
    generator = np.random.default_rng(0)
    sizes = np.concatenate([generator.normal(side, 0.4, (40, 2)) for side in np.array(TRUE)])
    found = fit_anchors(sizes.astype(np.float32), image_size=128)
    expected = sorted(TRUE, key=np.prod)
    np.testing.assert_allclose(found, expected, atol=0.5)
    assert fit_anchors(sizes, image_size=128) == fit_anchors(sizes, image_size=128)


def test_fitted_anchors_cover_the_boxes_better_than_the_defaults() -> None:
    sizes = np.random.default_rng(1).lognormal(3, 0.5, (500, 2))

    def cover(anchors: list[list[float]]) -> float:
        return float(shape_iou(sizes, np.array(anchors)).max(1).mean())

    assert cover(fit_anchors(sizes, image_size=128)) > cover(default_anchors(128)) + 0.05


@pytest.mark.parametrize("count", [0, 1, 8])
def test_too_few_sizes_give_the_defaults(count: int) -> None:
    sizes = np.arange(1, 2 * count + 1, dtype=np.float32).reshape(count, 2)
    assert fit_anchors(sizes, image_size=320) == default_anchors(320)
    assert default_anchors(640)[0] == [10, 13]


def test_equal_boxes_do_not_matter() -> None:
    sizes = np.array([[10 + i, 20] for i in range(9)] * 50, np.float32)
    assert len(fit_anchors(sizes, image_size=64)) == 9
