"""Our mAP of a trained YOLOv8 beside Ultralytics' own validation of the same weights on the same test images.

    python benchmarks/ultralytics_validation.py runs/neu-det/latest

Theirs is ``YOLO(...).val(split="test")`` in PyTorch. Ours is of the exported graph in ONNX Runtime, by pycocotools, at
the suppression that theirs uses: within each class, at an IoU of .7. The claim: they agree within .005.
"""

import tempfile
from pathlib import Path

from _ultralytics import as_yolo, judge, parse, write_yolo

from fettle.data import open_dataset
from fettle.evaluate import results
from fettle.evaluate.results import Validation

ALIKE = 0.005


def main() -> None:
    options = parse(__doc__)
    model, dataset = options.run / "model-baseline", next(options.run.glob("dataset-*"))
    with tempfile.TemporaryDirectory() as folder:
        table(theirs(model, dataset, Path(folder)), ours(model, dataset, Path(folder)))


def theirs(model: Path, dataset: Path, folder: Path) -> dict[str, float]:
    """Validate with Ultralytics at its own defaults, on pixels that need no resizing."""
    data = open_dataset(dataset)
    found = as_yolo(model, folder / "model.pt").val(
        data=str(write_yolo(data, folder / "data")), split="test", imgsz=data.image_size, batch=16, device="cpu",
        workers=0, plots=False, verbose=False, project=str(folder), name="val",
    )  # fmt: skip
    return {"map50": float(found.box.map50), "map50_95": float(found.box.map)}


def ours(model: Path, dataset: Path, folder: Path) -> dict[str, float]:
    """Export and validate as the pipeline does."""
    test = results.load(judge(model, dataset, folder / "ours") / results.METRICS, Validation).test
    return {"map50": test.map50, "map50_95": test.map50_95}


def table(theirs: dict[str, float], ours: dict[str, float]) -> None:
    print(f"{'':12} {'Ultralytics':>12} {'Fettle':>12} {'difference':>12}")
    for name, value in theirs.items():
        print(f"{name:12} {value:12.4f} {ours[name]:12.4f} {ours[name] - value:+12.4f}")
    widest = max(abs(ours[name] - value) for name, value in theirs.items())
    print(f"\nThey agree within .005: {'yes' if widest <= ALIKE else 'NO'} ({widest:.4f})")


if __name__ == "__main__":
    main()
