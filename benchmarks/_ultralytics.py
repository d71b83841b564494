"""What the benchmarks against Ultralytics share: our data and weights as Ultralytics wants them."""

import argparse
import copy
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from fettle.data import Dataset, Subset
from fettle.models import Architecture, load_model
from fettle.models.yolov8 import offline
from fettle.spec import DetectionConfig
from fettle.steps.export import export
from fettle.steps.validate import validate

offline.load()

from ultralytics import YOLO  # noqa: E402
from ultralytics.nn.tasks import DetectionModel  # noqa: E402

SPLITS = ("train", "calib", "val", "test")


def parse(description: str | None, **arguments: dict[str, object]) -> argparse.Namespace:
    """Return the options of a benchmark: ``run``, a local run of a YOLOv8 that must be there, and ``arguments``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/castings-detect/latest"))
    for name, about in arguments.items():
        parser.add_argument(f"--{name}", **about)  # type: ignore[arg-type]
    options = parser.parse_args()
    if not (options.run / "model-baseline").is_dir():
        parser.exit(
            0, f"{options.run} is not there: `make pipeline-run SPEC=examples/castings-detect.yaml` makes it.\n"
        )
    return options


def write_yolo(data: Dataset, folder: Path) -> Path:
    """Write the images of a ``dataset`` artifact as a YOLO folder with the same splits, and return its ``data.yaml``.

    The pixels are those that our networks see: PNG, already square.
    """
    for split in SPLITS:
        _write_split(data.subset(split), folder, data.image_size)
    about = {"path": str(folder.absolute()), "names": dict(enumerate(data.classes))}
    about |= {split: f"images/{split}" for split in SPLITS}
    file = folder / "data.yaml"  # JSON is YAML
    file.write_text(json.dumps(about))
    return file


def as_yolo(folder: Path, file: Path) -> YOLO:
    """Return the network of a ``model`` artifact as Ultralytics' own object, by way of a checkpoint in ``file``."""
    model, architecture = load_model(folder)
    made = YOLO(f"yolov8{architecture.options.get('size', 'n')}.yaml", verbose=False)
    made.model = copy.deepcopy(model.network)
    made.model.__class__ = DetectionModel
    made.model.names = dict(enumerate(architecture.classes))
    made.save(file)
    return YOLO(file)


def from_yolo(file: Path, like: Path) -> tuple[nn.Module, Architecture]:
    """Return the network of a checkpoint that Ultralytics has just written, as one like the ``model`` artifact."""
    model, architecture = load_model(like)
    model.network.load_state_dict(YOLO(file).model.float().state_dict())
    return model, architecture


def judge(model: Path, dataset: Path, folder: Path) -> Path:
    """Export ``model`` and validate it on the test split; Ultralytics' way of suppression, within each class at .7."""
    shutil.rmtree(folder, ignore_errors=True)
    detections = DetectionConfig(iou=0.7, agnostic=False)
    export(model, folder / "export", dataset=dataset, recipe="baseline", detections=detections)
    validate(folder / "export", dataset, folder / "validation", runtime="onnxruntime", detections=detections)
    return folder / "validation"


def _write_split(subset: Subset, folder: Path, size: int) -> None:
    images, labels = (folder / kind / subset.name for kind in ("images", "labels"))
    for path in (images, labels):
        path.mkdir(parents=True, exist_ok=True)
    for index, pixels in enumerate(subset.images):
        Image.fromarray(pixels).save(images / f"{index:05d}.png", compress_level=1)
        xyxy, classes = subset.boxes.of(index)
        centres, sizes = (xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]
        rows = np.column_stack([classes, np.concatenate([centres, sizes], axis=1) / size])
        np.savetxt(labels / f"{index:05d}.txt", rows, fmt="%d %.6f %.6f %.6f %.6f")
