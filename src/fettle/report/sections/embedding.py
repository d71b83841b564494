"""What embeddings tell apart and what they do not."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from fettle.data import Subset
from fettle.data.similarity import Similarities
from fettle.evaluate.embedding import EmbeddingMetrics
from fettle.evaluate.predictions import Arrays
from fettle.evaluate.results import Validation
from fettle.report import embedding_plots
from fettle.report.pictures import data_uri

MISTAKES = 6


def quality(contrasted: Mapping[str, Validation], everyone: Mapping[str, Validation]) -> dict[str, Any]:
    """Tell retrieval, verification, and the threshold of every candidate."""
    metrics = {name: cast(EmbeddingMetrics, validation.test) for name, validation in contrasted.items()}
    return {
        "models": metrics,
        "roc": embedding_plots.roc(metrics),
        "cmc": embedding_plots.cmc(metrics),
        "operating": [
            {"name": name, "similarity": each.thresholds["similarity"], "metrics": each.test, "val": each.val}
            for name, each in everyone.items()
        ],
    }


def mistakes(test: Subset, predictions: Mapping[str, Arrays], contrasted: Mapping[str, Validation]) -> dict[str, Any]:
    """Show the pictures whose nearest other one is of somebody else, and who are least alike though one person."""
    name, validation = list(contrasted.items())[-1]
    found = Similarities.of(predictions[name]["embedding"], test.labels)
    rows = np.arange(len(test))
    wrong = rows[found.queries & (test.labels != test.labels[found.nearest])]
    wrong = wrong[np.argsort(-found.cosine[wrong, found.nearest[wrong]], kind="stable")]
    first, second = found.pairs
    genuine = np.flatnonzero(test.labels[first] == test.labels[second])
    threshold = validation.thresholds["similarity"]
    unlike = genuine[np.argsort(found.cosine[first[genuine], second[genuine]], kind="stable")]
    rejected = unlike[found.cosine[first[unlike], second[unlike]] < threshold]

    def pair(row: int, other: int) -> dict[str, Any]:
        return {
            "images": [data_uri(test.images[each]) for each in (row, other)],
            "paths": [test.paths[each] for each in (row, other)],
            "names": [validation.classes[test.labels[each]] for each in (row, other)],
            "similarity": f"{found.cosine[row, other]:.3f}",
        }

    return {
        "name": name,
        "queries": int(found.queries.sum()),
        "wrong": len(wrong),
        "mistaken": [pair(row, int(found.nearest[row])) for row in wrong[:MISTAKES].tolist()],
        "genuine": len(genuine),
        "rejected": len(rejected),
        "threshold": f"{threshold:.3f}",
        "unlike": [pair(int(first[each]), int(second[each])) for each in rejected[:MISTAKES].tolist()],
    }
