"""What a page shows of a classifier."""

import json

import numpy as np
import pytest
from sklearn.metrics import auc, roc_auc_score

from fettle.evaluate.curves import POINTS, roc_curve


@pytest.mark.parametrize("count", [4, 5000])
def test_the_curve_is_short_finite_and_keeps_its_area(count: int) -> None:
    rng = np.random.default_rng(count)
    truth = np.arange(count) % 2 == 1
    scores = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    false, true, thresholds = roc_curve(scores, truth)
    assert len(false) == len(true) == len(thresholds) <= POINTS
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert auc(false, true) == pytest.approx(roc_auc_score(truth, scores), abs=0.005)
    json.dumps(thresholds, allow_nan=False)
    assert thresholds == sorted(thresholds, reverse=True)
