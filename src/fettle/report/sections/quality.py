"""What the baseline and the winner get right and wrong."""

from typing import Any

import numpy as np

from fettle.evaluate import results
from fettle.evaluate.metrics import Metrics
from fettle.report import plots
from fettle.report.pictures import data_uri
from fettle.report.sources import Sources

MOST_CLASSES = 12  # in a confusion matrix that can be read; of more, the most frequent confusions are listed
MISTAKES = 12


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell the classes' figures, the confusions and the calibration."""
    contrasted = {name: validation for name, (_, validation) in sources.contrasted.items()}
    if not contrasted:
        return None
    classes = next(iter(contrasted.values())).classes
    return {
        "classes": classes,
        "models": {name: _model(validation.test, classes) for name, validation in contrasted.items()},
        "reliability": plots.reliability({name: validation.test for name, validation in contrasted.items()}),
        "parity": {name: validation.parity for name, validation in contrasted.items() if validation.parity},
        "references": {name: validation.reference for name, validation in contrasted.items()},
    }


def build_mistakes(sources: Sources) -> dict[str, Any] | None:
    """Show the test images about which the winner (or else the baseline) is most confidently wrong."""
    if sources.dataset is None or not sources.contrasted:
        return None
    name, (artifact, validation) = list(sources.contrasted.items())[-1]
    test = sources.dataset.subset("test")
    with np.load(artifact.path / results.PREDICTIONS) as arrays:
        probabilities, labels = arrays["probabilities"], arrays["labels"]
    if len(labels) != len(test) or (labels != test.labels).any():
        return None  # validated on another dataset than the one that is reported on
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    pictures = [
        {
            "image": data_uri(test.images[index]),
            "path": test.paths[index],
            "true": validation.classes[labels[index]],
            "predicted": validation.classes[predicted[index]],
            "confidence": f"{confidence[index]:.0%}",
        }
        for index in worst.tolist()
    ]
    return {"name": name, "wrong": len(wrong), "count": len(labels), "pictures": pictures}


def _model(metrics: Metrics, classes: tuple[str, ...]) -> dict[str, Any]:
    confusion = np.array(metrics.confusion)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    off = [(int(confusion[i, j]), classes[i], classes[j]) for i, j in np.argwhere(confusion) if i != j]
    return {
        "metrics": metrics,
        "matrix": confusion.tolist() if len(classes) <= MOST_CLASSES else None,
        "shares": shares.tolist(),
        "confusions": sorted(off, reverse=True)[:10],
    }
