"""The trainer of ``yolov8``: Ultralytics' (AGPL-3.0), on our images, with our checkpoints."""

from fettle.models.yolov8 import offline

offline.load()

from fettle.train.yolov8.run import fit  # noqa: E402

__all__ = ["fit"]
