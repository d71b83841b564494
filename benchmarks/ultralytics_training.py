"""Our training of a YOLOv8 beside the plain Ultralytics script: same split, same epochs, same test images.

    python benchmarks/ultralytics_training.py runs/neu-det/latest

The script is what its documentation shows, ``YOLO("yolov8n.yaml").train(data=..., epochs=..., imgsz=..., batch=...)``,
with Ultralytics' own defaults for everything else. Its best weights are exported by us, so that both are judged by one
graph, one runtime and one evaluator; the difference is paired, image by image.
"""

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from _ultralytics import from_yolo, judge, parse, write_yolo

from fettle import card
from fettle.card import read_card
from fettle.data import open_dataset
from fettle.evaluate import results
from fettle.evaluate.results import Validation
from fettle.evaluate.tasks import TASKS
from fettle.models import save_model
from fettle.steps.validate import read_predictions

MEASURES = ("map50_95", "map50")


def main() -> None:
    options = parse(
        __doc__, out={"type": Path, "help": "Keep their training in this folder; it is not trained again then."}
    )
    with tempfile.TemporaryDirectory() as folder:
        compare(options.run, options.out or Path(folder))


def compare(run: Path, folder: Path) -> None:
    """Train theirs, unless it is there, and print both."""
    dataset, ours = next(run.glob("dataset-*")), run / "model-baseline"
    spec = json.loads((run / "spec.json").read_text())
    data = open_dataset(dataset)
    if not (folder / "seconds").exists():
        train_plain(write_yolo(data, folder / "data"), spec, folder)
    theirs = folder / "model"
    shutil.rmtree(theirs, ignore_errors=True)
    with card.create(theirs, kind="model", name="plain-ultralytics") as draft:
        save_model(draft.path, *from_yolo(folder / "train/weights/best.pt", ours))
    found = {
        "plain Ultralytics": judge(theirs, dataset, folder / "theirs"),
        "Fettle": judge(ours, dataset, folder / "ours"),
    }
    seconds = {
        "plain Ultralytics": float((folder / "seconds").read_text()),
        "Fettle": read_card(ours).summary["train_seconds"],
    }
    table(found, seconds, spec["train"]["epochs"])


def train_plain(data: Path, spec: dict[str, Any], folder: Path) -> None:
    """Run the plain script."""
    from ultralytics import YOLO

    model, train = spec["model"], spec["train"]
    begin = time.perf_counter()
    YOLO(f"yolov8{model['options'].get('size', 'n')}.yaml").train(
        data=str(data), epochs=train["epochs"], imgsz=model["image_size"], batch=train["batch_size"], device="cpu",
        project=str(folder.absolute()), name="train", exist_ok=True, plots=False, workers=1,
    )  # fmt: skip
    (folder / "seconds").write_text(f"{time.perf_counter() - begin:.0f}")


def table(found: dict[str, Path], seconds: dict[str, float], epochs: int) -> None:
    print(f"{'':20} {'mAP50-95':>9} {'mAP50':>9} {'training':>10}   ({epochs} epochs)")
    outcomes = {}
    for name, path in found.items():
        validation = results.load(path / results.METRICS, Validation)
        test = validation.test
        print(f"{name:20} {test.map50_95:9.3f} {test.map50:9.3f} {seconds[name]:8.0f} s")
        studied = TASKS["detect"].study(read_predictions(path), len(validation.classes))
        outcomes[name] = TASKS["detect"].outcome(studied, validation.thresholds)
    differences = outcomes["Fettle"].against(outcomes["plain Ultralytics"], max_drop=0.0, confidence=0.95)
    for measure in MEASURES:
        interval = differences[measure].interval
        print(f"{measure}: Fettle {interval.estimate:+.3f} (95% interval {interval.low:+.3f} to {interval.high:+.3f})")


if __name__ == "__main__":
    main()
