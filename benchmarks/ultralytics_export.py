"""Our candidates of a trained YOLOv8 beside what `yolo export` makes of the same weights: mAP and latency, interleaved.

    python benchmarks/ultralytics_export.py runs/neu-det/latest

Theirs are exported with NMS inside (``nms=True``), as ours are, at the same thresholds; their client's part, pixels to
normalized float (N, 3, S, S), is timed with them, as ours is in the graph. Every contestant is a process of its own.
mAP is that of one evaluator (pycocotools) on the same test images.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _ultralytics import YOLO, as_yolo, parse, write_yolo

from fettle.card import read_card
from fettle.data import Dataset, open_dataset
from fettle.data.average_precision import coco_evaluate
from fettle.evaluate import results
from fettle.evaluate.contestants import EngineContestant, open_contestant, timed
from fettle.evaluate.intervals import median_ratio
from fettle.evaluate.latency import interleave, summarize
from fettle.evaluate.results import SELECTION, Selection, Timing
from fettle.evaluate.worker import pin
from fettle.export import Export, read_manifest
from fettle.hardware import passport

Function = Callable[[np.ndarray], np.ndarray]
# What `yolo export` is asked for; None is the network in eager PyTorch.
FORMATS: dict[str, dict[str, Any] | None] = {
    "yolo .pt": None,
    "yolo onnx": {"format": "onnx", "simplify": False},
    "yolo onnx int8": {"format": "onnx", "simplify": False, "quantize": 8},
    "yolo openvino": {"format": "openvino"},
    "yolo openvino int8": {"format": "openvino", "quantize": 8},
}
SERVED = {"conf": 0.25, "max_det": 10}
FULL_CURVE = {"conf": 0.001, "max_det": 300}


def main() -> None:
    options = parse(
        __doc__,
        rounds={"type": int, "default": 30},
        out={"type": Path, "help": "Keep their exports in this folder; what is there is not made again."},
    )
    with tempfile.TemporaryDirectory() as folder:
        compare(options.run, options.out or Path(folder), options.rounds)


def compare(run: Path, folder: Path, rounds: int) -> None:
    """Export, evaluate and time theirs beside our candidates; print the table."""
    data = open_dataset(next(run.glob("dataset-*")))
    selection = results.load(run / "selection" / SELECTION, Selection)
    folder.mkdir(parents=True, exist_ok=True)
    served, full = (export_all(run / "model-baseline", data, folder / name, thresholds)
                    for name, thresholds in (("served", SERVED), ("full", FULL_CURVE)))  # fmt: skip
    scores = {name: evaluate(name, file, data) for name, file in full.items()}
    scores |= {row.name: (row.scores["map50"], row.scores["map50_95"]) for row in selection.candidates}
    timings = race(served, ours(run, selection), data, rounds)
    table(timings, scores, selection)


def export_all(model: Path, data: Dataset, folder: Path, thresholds: dict[str, Any]) -> dict[str, Path]:
    """Run `yolo export` for every format, at the thresholds that ours are served with."""
    folder.mkdir(exist_ok=True)
    yolo = as_yolo(model, folder / "model.pt")
    made = {"yolo .pt": folder / "model.pt"}
    for name, arguments in FORMATS.items():
        if arguments is None:
            continue
        target = folder / name.replace(" ", "-")
        if not target.exists():
            source = folder / f"{target.name}.pt"  # the export is written beside it, under its name
            yolo.save(source)
            calibration = {"data": str(calibration_data(data, folder))} if "quantize" in arguments else {}
            nms = {"nms": True, "iou": 0.5, "agnostic_nms": True, **thresholds}
            written = YOLO(source).export(imgsz=data.image_size, **arguments, **calibration, **nms)
            Path(written).rename(target)
        made[name] = target
    return {name: made[name] for name in FORMATS}


def calibration_data(data: Dataset, folder: Path) -> Path:
    """Write our calib split as the one that they calibrate on: the same images for both."""
    file = write_yolo(data, folder / "data")
    about = json.loads(file.read_text())
    file.write_text(json.dumps({**about, "train": about["calib"], "val": about["calib"]}))
    return file


def load(name: str, file: Path, threads: int) -> Function:
    """Return theirs as a function of (N, S, S, 3) uint8 that gives (N, K, 6): box, score, class."""
    if name.endswith(".pt"):
        return _eager(file, threads)
    return (_onnx if "onnx" in name else _openvino)(file, threads)


def _pixels(images: np.ndarray) -> np.ndarray:
    """What their client does ahead: (N, S, S, 3) uint8 to (N, 3, S, S) float32 in [0, 1]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / 255


def _onnx(file: Path, threads: int) -> Function:
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    session = ort.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: _pixels(images)})[0]


def _openvino(folder: Path, threads: int) -> Function:
    import openvino as ov

    compiled = ov.Core().compile_model(next(folder.glob("*.xml")), "CPU", {"INFERENCE_NUM_THREADS": threads})
    request = compiled.create_infer_request()
    return lambda images: next(iter(request.infer([_pixels(images)]).values()))


def _eager(file: Path, threads: int) -> Function:
    import torch
    from ultralytics.utils.nms import non_max_suppression

    torch.set_num_threads(threads)
    model = YOLO(file).model.float().fuse().eval()
    conf = SERVED if "served" in file.parts[-2] else FULL_CURVE

    @torch.inference_mode()
    def predict(images: np.ndarray) -> np.ndarray:
        raw = model(torch.from_numpy(_pixels(images)))[0]
        kept = non_max_suppression(raw, conf["conf"], 0.5, agnostic=True, max_det=conf["max_det"])
        return np.stack([np.pad(each.numpy(), ((0, conf["max_det"] - len(each)), (0, 0))) for each in kept])

    return predict


def evaluate(name: str, file: Path, data: Dataset) -> tuple[float, float]:
    """Return mAP50 and mAP50-95 on the test split."""
    test = data.subset("test")
    answer = load(name, file, passport().cores)
    found = np.concatenate([answer(image[None]) for image in test.images])
    boxes, scores = found[..., :4], found[..., 4]
    labels = np.where(scores > 0, found[..., 5], -1).astype(np.int64)
    made = coco_evaluate(boxes, scores, labels, test.boxes, len(data.classes), by_size=False)
    return made.map50, made.map50_95


def race(served: dict[str, Path], ours: dict[str, tuple[Export, str]], data: Dataset, rounds: int) -> dict[str, Timing]:
    """Time single images, turn by turn."""
    threads = passport().cores
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        np.save(folder / "images.npy", np.ascontiguousarray(data.subset("test").images[:1]))
        contestants = {
            name: stack.enter_context(open_theirs(name, file, folder / "images.npy", threads))
            for name, file in served.items()
        }
        for name, (made, runtime) in ours.items():
            options = made.runtime_options(runtime)
            contestants[name] = stack.enter_context(
                open_contestant(
                    name,
                    runtime=runtime,
                    file=made.file,
                    images=folder / "images.npy",
                    threads=threads,
                    options=options,
                )
            )
        samples = interleave(contestants, batches=[1], rounds=rounds)
    return {name: summarize(each) for name, each in samples.items()}


@contextlib.contextmanager
def open_theirs(name: str, file: Path, images: Path, threads: int) -> Iterator[EngineContestant]:
    """Start this file as the process that runs one of theirs; it talks as ours do."""
    job = json.dumps({"name": name, "file": str(file), "images": str(images), "threads": threads})
    command = [sys.executable, __file__, "--worker", job]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield EngineContestant(name, process)
    finally:
        process.kill()
        process.communicate()


def work(job: dict[str, Any]) -> None:
    """Time what is asked for until the requests end."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what they print is no answer
    pin(job["threads"])
    images = np.load(job["images"])
    function = load(job["name"], Path(job["file"]), job["threads"])
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        seconds = timed(function, images[: request["batch"]], request["calls"])
        print(json.dumps({"seconds": seconds, "memory_mb": 0.0}), file=answers, flush=True)


def ours(run: Path, selection: Selection) -> dict[str, tuple[Export, str]]:
    """Return our candidates of the run."""
    exports = {read_card(path).digest: path for path in run.glob("export-*")}
    return {row.name: (read_manifest(exports[row.export]), row.runtime) for row in selection.candidates}


def table(timings: dict[str, Timing], scores: dict[str, tuple[float, float]], selection: Selection) -> None:
    base = scores["yolo onnx"][0]
    print(f"{'':28} {'mAP50':>7} {'lost':>7} {'mAP50-95':>9} {'p50 ms':>8}")
    for name, timing in sorted(timings.items(), key=lambda row: -row[1].p50_ms):
        map50, map50_95 = scores[name]
        mark = "  <- winner" if name == selection.winner else ""
        print(f"{name:28} {map50:7.3f} {base - map50:+7.3f} {map50_95:9.3f} {timing.p50_ms:8.2f}{mark}")
    theirs = {name: timings[name] for name in FORMATS if base - scores[name][0] <= 0.01}
    mine = {row.name: timings[row.name] for row in selection.candidates if base - scores[row.name][0] <= 0.01}
    best, fastest = (min(group, key=lambda name: group[name].p50_ms) for group in (theirs, mine))
    ratio = median_ratio(np.array(timings[best].round_ms[1]), np.array(timings[fastest].round_ms[1]))
    print(
        f"\nAt 1 point of mAP50 or less below the float network: {fastest} is {ratio.estimate:.2f}x as fast as {best} "
        f"(95% interval {ratio.low:.2f} to {ratio.high:.2f})."
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(json.loads(sys.argv[2]))
    else:
        main()
