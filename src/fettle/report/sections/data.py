"""The data set: counts, weights, statistics, samples, and what was set aside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fettle.data import Dataset
from fettle.report import box_plots, plots
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
        "images": {split: len(dataset.subset(split)) for split in dataset.counts},
        "grid": file_uri(folder / "grid.jpg"),
        "quarantine": quarantine[:MOST_LISTED],
        "quarantined": len(quarantine),
        "most": MOST_LISTED,
        **_duplicates(folder / "duplicates.json"),
        **_statistics(dataset.statistics),
        **_boxes(dataset),
    }


def _boxes(dataset: Dataset) -> dict[str, Any]:
    """Return plots and a table of boxes; for images with labels the plot of these alone."""
    boxes, side = dataset.boxes, dataset.image_size
    if not len(boxes.labels):
        return {"plots": [plots.class_counts(dataset.counts, dataset.classes)], "boxes": {}}
    drawn = [
        plots.class_counts(dataset.counts, dataset.classes, unit="boxes"),
        box_plots.places(boxes, side=side),
        box_plots.shapes(boxes, side=side),
        box_plots.crowding(boxes),
    ]
    return {
        "plots": drawn,
        "boxes": dataset.statistics.get("boxes", {}).get("by_class", {}),
        "background": int((boxes.counts == 0).sum()),
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
