"""The data set: counts, weights, statistics, samples, and what was set aside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fettle.report import plots
from fettle.report.pictures import file_uri
from fettle.report.sources import Sources

MOST_LISTED = 20
MEASURES = ("width", "height", "aspect", "brightness")


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell what the models were trained and judged on."""
    dataset = sources.dataset
    if dataset is None:
        return None
    folder, weights = dataset.artifact.path, dataset.class_weights.tolist()
    quarantine = _rows(folder / "quarantine.jsonl")
    return {
        "dataset": dataset,
        "name": dataset.artifact.card.name,
        "weights": dict(zip(dataset.classes, weights, strict=True)),
        "totals": {split: sum(by_class.values()) for split, by_class in dataset.counts.items()},
        "plot": plots.class_counts(dataset.counts, dataset.classes),
        "grid": file_uri(folder / "grid.jpg"),
        "quarantine": quarantine[:MOST_LISTED],
        "quarantined": len(quarantine),
        "most": MOST_LISTED,
        **_duplicates(folder / "duplicates.json"),
        **_statistics(dataset.statistics),
    }


def _statistics(statistics: Mapping[str, Any]) -> dict[str, Any]:
    by_class = statistics.get("brightness_by_class", {})
    spreads = {name: statistics[name] for name in MEASURES if name in statistics}
    return {
        "spreads": spreads | {f"brightness of {name}": spread for name, spread in by_class.items()},
        "notes": statistics.get("notes", {}),
    }


def _duplicates(file: Path) -> dict[str, Any]:
    """Return exact copies, groups of look-alikes, and how many groups lie in several splits."""
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"exact": [], "near": []}
    crossing = sum(len({image["split"] for image in group}) > 1 for group in found["near"])
    return {"copies": found["exact"], "near": found["near"], "crossing": crossing}


def _rows(file: Path) -> list[dict[str, Any]]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [json.loads(line) for line in lines]
