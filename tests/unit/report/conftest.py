"""Artifacts of a whole run, made of numbers and the tiny data set: no torch, no engine."""

import json
from pathlib import Path

import numpy as np
import pytest

from fettle import card
from fettle.card import Artifact, read_card
from fettle.data import open_dataset
from fettle.evaluate import results
from fettle.evaluate.classification import classification_metrics
from fettle.evaluate.latency import summarize
from fettle.evaluate.parity import Parity
from fettle.evaluate.predictions import save_predictions
from fettle.evaluate.results import Benchmark, Validation
from fettle.hardware import passport
from fettle.spec import GateConfig
from fettle.steps.select import select
from fettle.steps.validate import validate

SPEEDS = {"baseline-onnxruntime": (10.0, 40.0), "int8-onnxruntime": (3.0, 10.0), "slow-onnxruntime": (15.0, 10.0)}


@pytest.fixture
def run(castings_dataset: Path, make_export, tmp_path: Path) -> dict[str, Path]:
    """A path for each artifact: dataset, model, three validations, benchmark, selection, study, confirmation."""
    paths = {"dataset": castings_dataset, "model": _model(tmp_path / "model", castings_dataset)}
    base = make_export(parents={"model": read_card(paths["model"])})
    made = {name: make_export(name.split("-")[0], parents={"export": read_card(base)}) for name in list(SPEEDS)[1:]}
    exports = {"baseline-onnxruntime": base, **made}
    for wrong, (name, export) in enumerate(exports.items()):
        paths[name] = _validation(tmp_path / name, name, export, castings_dataset, wrong)
    paths["benchmark"] = _benchmark(tmp_path / "benchmark", exports)
    gates = GateConfig(max_drop=0.3, class_floor=None, latency_p95_ms=50)
    validations = [paths[name] for name in exports]
    paths["selection"] = select(
        validations, paths["benchmark"], tmp_path / "selection", gates=gates, profile="edge"
    ).path
    paths["study"] = _json(tmp_path / "study", "study", STUDY)
    paths["promotion"] = _json(tmp_path / "promotion", "promotion", PROMOTION)
    paths["confirmation"] = _json(tmp_path / "confirmation", "confirmation", CONFIRMATION)
    return paths


@pytest.fixture
def detection_run(told_dataset, make_told_detector, tmp_path: Path) -> dict[str, Path]:
    """The same of detectors: int8 has half the scores, loses an object, and alarms where nothing is."""
    left, right, low = (4, 4, 24, 24), (34, 4, 54, 24), (4, 34, 24, 54)
    truth = [(left, 0), (right, 1)]
    val = [(truth, [(left, 80, 0), (right, 60, 1)])]
    test = [(truth, [(left, 90, 0), (right, 80, 1), (low, 70, 0)]), (truth, [(left, 90, 0), (right, 20, 1)]), ([], [])]
    paths = {"dataset": told_dataset(val=val, test=test)}
    base = make_told_detector()
    exports = {
        "baseline-onnxruntime": base,
        "int8-onnxruntime": make_told_detector("int8", scale=0.5, parents={"export": read_card(base)}),
    }
    for name, export in exports.items():
        reference = paths.get("baseline-onnxruntime")
        made = validate(export, paths["dataset"], tmp_path / name, runtime="onnxruntime", reference=reference)
        paths[name] = made.path
    paths["benchmark"] = _benchmark(tmp_path / "benchmark", exports)
    validations = [paths[name] for name in exports]
    gates = GateConfig(class_floor=None)
    paths["selection"] = select(
        validations, paths["benchmark"], tmp_path / "selection", gates=gates, profile="balanced"
    ).path
    return paths


def _model(path: Path, dataset: Path) -> Path:
    row = {"train_loss": 0.7, "val_loss": 0.6, "precision": 0.8, "recall": 0.8, "macro_f1": 0.8, "auroc": 0.9}
    rows = [
        {"epoch": epoch, "lr": 1e-3, "accuracy": 0.5 + epoch / 10, "train_accuracy": 0.6 + epoch / 10, "gap": 0.1,
         "gradient_norm": 1.0 / epoch, **row}
        for epoch in (1, 2, 3)
    ]  # fmt: skip
    with card.create(path, kind="model", name="resnet18", parents={"dataset": read_card(dataset)}) as draft:
        (draft.path / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        draft.summary.update(best=rows[-1], train_seconds=12.0)
    return path


def _validation(path: Path, name: str, export: Path, dataset: Path, wrong: int) -> Path:
    data = open_dataset(dataset)
    labels = data.subset("test").labels
    predicted = np.where(np.arange(len(labels)) < wrong, 1 - labels, labels)
    probabilities = np.full((len(labels), 2), 0.1, np.float32)
    probabilities[np.arange(len(labels)), predicted] = 0.9
    recipe, runtime = name.split("-")
    metrics = classification_metrics(probabilities, labels, data.classes)
    validation = Validation(
        name, recipe, runtime, "float32", "classify", data.classes, metrics,
        reference="baseline-onnxruntime", parity=Parity(0.98, 0.5, 0.01),
    )  # fmt: skip
    parents = {"export": read_card(export), "dataset": data.artifact.card}
    with card.create(path, kind="validation", name=name, config={"runtime": runtime}, parents=parents) as draft:
        save_predictions(draft.path, test={"probabilities": probabilities, "truth_labels": labels}, val={})
        results.save(draft.path / results.METRICS, validation)
    return path


def _benchmark(path: Path, exports: dict[str, Path]) -> Path:
    rng = np.random.default_rng(0)
    timings = {
        name: summarize(
            {batch: (batch * ms / 1e3 * rng.normal(1, 0.01, (10, 3))).tolist() for batch in (1, 4)},
            size_mb=size, memory_mb=size * 2, load_ms=100.0,
        )
        for name, (ms, size) in SPEEDS.items()
        if name in exports
    }  # fmt: skip
    found = Benchmark(timings, threads=2, rounds=10, batches=(1, 4), hardware=passport().to_json())
    parents = {name: read_card(export) for name, export in exports.items()}
    with card.create(path, kind="benchmark", name="benchmark", parents=parents) as draft:
        results.save(draft.path / results.BENCHMARK, found)
    return path


def _json(path: Path, kind: str, value: object) -> Path:
    with card.create(path, kind=kind, name=kind) as draft:
        (draft.path / f"{kind}.json").write_text(json.dumps(value))
    return Artifact.open(path).path


TRIALS = [
    {"number": 0, "state": "complete", "params": {"train.lr": 0.001}, "value": 0.5, "epochs": {}},
    {"number": 1, "state": "pruned", "params": {"train.lr": 0.01}, "value": None, "epochs": {}},
    {"number": 2, "state": "complete", "params": {"train.lr": 0.002}, "value": 0.4, "epochs": {}},
]
STUDY = {
    "metric": "loss", "direction": "minimize", "trials": TRIALS, "default": TRIALS[0], "best": TRIALS[2],
    "importances": {"train.lr": 0.8, "train.batch_size": 0.2},
}  # fmt: skip
PROMOTION = {
    "repository": "runs/repository", "model": "castings", "version": 3, "runtime": "onnxruntime", "digests": {},
    "sign_off": {"by": "gates", "reason": "", "at": "2026-01-01T00:00:00+00:00", "runtime": "onnxruntime", "files": {}},
    "export": "sha256:0", "created": True, "previous": 2, "thresholds": {},
}  # fmt: skip
CHECK = {
    "requests": 4, "images": 9, "differences": {"probability": 1e-6}, "agreement": 1.0, "images_per_second": 100.0,
}  # fmt: skip
CONFIRMATION = {
    "words": "castings version 3 gives the offline answers to all 9 test images over http and grpc.",
    "model": "castings", "version": 3, "task": "classify", "tolerances": {"probability": 1e-4},
    "checks": {"http": CHECK, "grpc": CHECK},
    "example": {"image": "a.png", "truth": "ok", "answer": "ok (90%)"},
}  # fmt: skip
