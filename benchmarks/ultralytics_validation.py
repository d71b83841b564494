"""Our mAP of a trained YOLOv8 beside Ultralytics' own validation of the same weights on the same test images.

    python benchmarks/ultralytics_validation.py runs/neu-det/latest

Theirs is ``YOLO(...).val(split="test", rect=False)`` in PyTorch: by default it pads square images of 224 px to 256,
another picture than the network was trained on. Ours is of the exported graph in ONNX Runtime, by pycocotools, at the
suppression that theirs uses: within each class, at an IoU of .7. Our graph cuts boxes at the edges of the image, where
true boxes end too, and Ultralytics does not: so it is asked a second time with its boxes cut. The claim: then the two
agree within .005.
"""

import tempfile
from pathlib import Path

from _ultralytics import as_yolo, judge, parse, write_yolo
from ultralytics.models.yolo.detect import DetectionValidator

from fettle.data import open_dataset
from fettle.evaluate import results
from fettle.evaluate.results import Validation

ALIKE = 0.005


class Cutting(DetectionValidator):
    """Their validation of boxes that end where the image does."""

    def postprocess(self, preds):
        found = super().postprocess(preds)
        for each in found:
            each["bboxes"].clamp_(0, self.args.imgsz)
        return found


def main() -> None:
    options = parse(__doc__)
    model, dataset = options.run / "model-baseline", next(options.run.glob("dataset-*"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {
            "Ultralytics": theirs(model, dataset, folder, DetectionValidator),
            "Ultralytics, boxes cut": theirs(model, dataset, folder, Cutting),
            "Fettle": ours(model, dataset, folder),
        }
    table(found)


def theirs(model: Path, dataset: Path, folder: Path, validator: type[DetectionValidator]) -> dict[str, float]:
    """Validate with Ultralytics, on pixels that need no resizing."""
    data = open_dataset(dataset)
    found = as_yolo(model, folder / "model.pt").val(
        validator=validator, data=str(write_yolo(data, folder / "data")), split="test", imgsz=data.image_size, batch=16,
        device="cpu", rect=False, workers=0, plots=False, verbose=False, project=str(folder), name="val",
    )  # fmt: skip
    return {"mAP50": float(found.box.map50), "mAP50-95": float(found.box.map)}


def ours(model: Path, dataset: Path, folder: Path) -> dict[str, float]:
    """Export and validate as the pipeline does."""
    test = results.load(judge(model, dataset, folder / "ours") / results.METRICS, Validation).test
    return {"mAP50": test.map50, "mAP50-95": test.map50_95}


def table(found: dict[str, dict[str, float]]) -> None:
    print(f"{'':24} {'mAP50':>8} {'mAP50-95':>9}")
    for name, scores in found.items():
        print(f"{name:24} {scores['mAP50']:8.4f} {scores['mAP50-95']:9.4f}")
    widest = max(abs(found["Fettle"][name] - value) for name, value in found["Ultralytics, boxes cut"].items())
    print(f"\nOn the same boxes they agree within .005: {'yes' if widest <= ALIKE else 'NO'} ({widest:.4f})")


if __name__ == "__main__":
    main()
