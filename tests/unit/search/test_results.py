"""What a search tells is JSON that anything can read."""

import json
import math
from types import SimpleNamespace
from typing import Any

from fettle.search.results import _trial
from fettle.search.shapes import Shape
from fettle.search.trials import Rung, Trial


def test_what_has_no_loss_tells_none() -> None:
    rungs = (Rung(1, 0, 0.6, math.inf, 3.0), Rung(2, 2, 0.7, 0.4, 9.0))
    trial = Trial(0, Shape(64, 0, "even", "group_norm", 16, 0.5), latencies={"int8-openvino": 1.5}, rungs=rungs)
    found: Any = SimpleNamespace(standings={})
    told = json.loads(json.dumps(_trial(trial, found), allow_nan=False))
    assert [rung["loss"] for rung in told["rungs"]] == [None, 0.4]
    assert told["score"] == 0.7
