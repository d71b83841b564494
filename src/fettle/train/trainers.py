"""Who trains a family: Lightning, unless the family brings a trainer of its own."""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from fettle.models.architecture import Architecture
from fettle.train.result import Fit

TRAINERS: Mapping[str, str] = {"yolov8": "fettle.train.yolov8"}


def find_trainer(architecture: Architecture) -> Fit:
    """Return the trainer of ``architecture``; it is imported now, which takes seconds."""
    return cast(Fit, import_module(TRAINERS.get(architecture.family, "fettle.train.fit")).fit)
