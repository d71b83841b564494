"""Ultralytics as a library: it asks nobody, sends nothing, installs nothing and leaves the process as it was.

Its import looks up hosts, writes settings into the home folder, sets the number of OpenMP threads of every child
process, replaces ``torch.save`` and PIL's ``Image.open``, and logs to stdout. All of that is undone here, so whoever
needs it calls :func:`load` first.
"""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec

import cv2
import numpy as np
import torch
from PIL import Image

from fettle.errors import SpecError

QUIET = {
    "YOLO_OFFLINE": "1",
    "YOLO_AUTOINSTALL": "0",
    "YOLO_VERBOSE": "0",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}
# Of settings.json: usage statistics, and the trackers that it would log to beside ours.
OFF = dict.fromkeys(("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb"), False)


@cache
def load() -> None:
    """Import Ultralytics, once.

    Raises:
        SpecError: If it is not installed.
    """
    if find_spec("ultralytics") is None:
        raise SpecError("`model.family: yolov8` needs Ultralytics (AGPL-3.0): pip install 'fettle[yolov8]'.")
    with tempfile.TemporaryDirectory() as folder, _unchanged():
        os.environ.update(QUIET, YOLO_CONFIG_DIR=folder)
        import ultralytics
        from ultralytics.utils import LOGGER

        ultralytics.settings.update(OFF)
        LOGGER.handlers.clear()  # they write to stdout
        LOGGER.addHandler(logging.NullHandler())


@contextlib.contextmanager
def _unchanged() -> Iterator[None]:
    """Put back what an import of Ultralytics changes for the whole process."""
    environment, threads, save, open_image = dict(os.environ), cv2.getNumThreads(), torch.save, Image.open
    try:
        with np.printoptions():
            yield
    finally:
        torch.save, Image.open = save, open_image
        torch.set_printoptions(profile="default")  # type: ignore[no-untyped-call]
        cv2.setNumThreads(threads)
        os.environ.clear()
        os.environ.update(environment)
