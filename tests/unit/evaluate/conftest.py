"""Candidates made of numbers."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from fettle.evaluate.classification import classification_metrics
from fettle.evaluate.evidence import Evidence
from fettle.evaluate.latency import summarize
from fettle.evaluate.results import Validation

MakeEvidence = Callable[..., Evidence]
CLASSES = ("defective", "ok")


@pytest.fixture
def make_evidence() -> MakeEvidence:
    """Make a candidate: which of 200 test images are wrong, how long a call takes, how large the file is."""

    def make(
        recipe: str = "baseline",
        runtime: str = "onnxruntime",
        *,
        wrong: range | list[int] = range(0),
        ms: float = 10.0,
        batch_ms: float | None = None,
        size_mb: float = 40.0,
        jitter: float = 0.01,
        labels: np.ndarray | None = None,
        export: Mapping[str, object] | None = None,
    ) -> Evidence:
        labels = np.arange(200) % 2 if labels is None else labels
        predicted = labels.copy()
        predicted[list(wrong)] = 1 - predicted[list(wrong)]
        probabilities = np.full((len(labels), 2), 0.1, np.float32)
        probabilities[np.arange(len(labels)), predicted] = 0.9
        name = f"{recipe}-{runtime}"
        rng = np.random.default_rng(int(ms * 1000 + size_mb))
        samples = {
            1: (ms / 1e3 * rng.normal(1, jitter, (30, 5))).tolist(),
            16: ((batch_ms or ms * 10) / 1e3 * rng.normal(1, jitter, (30, 1))).tolist(),
        }
        return Evidence(
            validation=Validation(
                name,
                recipe,
                runtime,
                "float32",
                "classify",
                CLASSES,
                classification_metrics(probabilities, labels, CLASSES),
            ),
            predictions={"probabilities": probabilities, "truth_labels": labels},
            timing=summarize(samples, size_mb=size_mb),
            export=export or {"kind": "export", "name": recipe, "digest": f"export-{recipe}", "parents": {}},
        )

    return make
