"""Who trains a family: Lightning, unless the family brings a trainer of its own."""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from fettle.models.architecture import Architecture
from fettle.train.result import Fit

# By task and family.
TRAINERS: Mapping[tuple[str, str], str] = {
    ("detect", "yolov8"): "fettle.train.yolov8",
    ("classify", "yolov8"): "fettle.train.whole_images",
    ("classify", "yolov5_resnet"): "fettle.train.whole_images",
}


def find_trainer(architecture: Architecture) -> Fit:
    """Return the trainer of ``architecture``; it is imported now, which takes seconds."""
    module = TRAINERS.get((architecture.task, architecture.family), "fettle.train.fit")
    return cast(Fit, import_module(module).fit)
