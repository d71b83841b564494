"""What classifiers get right and wrong."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from fettle.data import Subset
from fettle.evaluate.classification import ClassificationMetrics
from fettle.evaluate.predictions import Arrays
from fettle.evaluate.results import Validation
from fettle.report import plots
from fettle.report.confusion import confusions
from fettle.report.pictures import data_uri

MISTAKES = 12


def quality(contrasted: Mapping[str, Validation], _: Mapping[str, Validation]) -> dict[str, Any]:
    """Tell the classes' figures, the confusions and the calibration."""
    classes = next(iter(contrasted.values())).classes
    metrics = {name: cast(ClassificationMetrics, validation.test) for name, validation in contrasted.items()}
    return {
        "classes": classes,
        "models": {name: _model(found, classes) for name, found in metrics.items()},
        "reliability": plots.reliability(metrics),
    }


def mistakes(test: Subset, predictions: Mapping[str, Arrays], contrasted: Mapping[str, Validation]) -> dict[str, Any]:
    """Show the test images about which the winner (or else the baseline) is most confidently wrong."""
    name, validation = list(contrasted.items())[-1]
    probabilities, labels = predictions[name]["probabilities"], test.labels
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


def _model(metrics: ClassificationMetrics, classes: tuple[str, ...]) -> dict[str, Any]:
    return {"metrics": metrics, **confusions(np.array(metrics.confusion), classes)}
