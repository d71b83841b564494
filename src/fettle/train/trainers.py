"""Who trains a family: Lightning, unless the family brings a trainer of its own."""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from fettle.errors import SpecError
from fettle.models.architecture import Architecture
from fettle.train.result import Fit

# By task and family.
TRAINERS: Mapping[tuple[str, str], str] = {
    ("detect", "yolov8"): "fettle.train.yolov8",
    ("classify", "yolov8"): "fettle.train.whole_images",
    ("classify", "yolov5_resnet"): "fettle.train.whole_images",
}

IN_ONE_PROCESS = ("yolov8",)  # families whose own trainer is used


def check_shareable(family: str, processes: int) -> None:
    """Refuse several processes for a family whose trainer has one.

    Raises:
        SpecError: If it is such a family.
    """
    if processes > 1 and family in IN_ONE_PROCESS:
        raise SpecError(
            f"{family} trains in one process, on one device, not in {processes}: set `train.trainer.devices`, and "
            "`gpu` and `nodes` of its step in `cluster`, to 1."
        )


def find_trainer(architecture: Architecture) -> Fit:
    """Return the trainer of ``architecture``; it is imported now, which takes seconds."""
    module = TRAINERS.get((architecture.task, architecture.family), "fettle.train.fit")
    return cast(Fit, import_module(module).fit)
