"""The data set: counts, weights, statistics, samples, and what was set aside."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fettle.report import plots
from fettle.report.pictures import file_uri
from fettle.report.sources import Sources

MOST_LISTED = 20


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell what the models were trained and judged on."""
    dataset = sources.dataset
    if dataset is None:
        return None
    folder = dataset.artifact.path
    quarantine = list(_lines(folder / "quarantine.jsonl"))
    weights = dataset.class_weights.tolist()
    return {
        "dataset": dataset,
        "name": dataset.artifact.card.name,
        "weights": dict(zip(dataset.classes, weights, strict=True)),
        "totals": {split: sum(by_class.values()) for split, by_class in dataset.counts.items()},
        "plot": plots.class_counts(dataset.counts, dataset.classes),
        "grid": file_uri(folder / "grid.jpg"),
        "statistics": dict(_flat(dataset.statistics)),
        "quarantine": quarantine[:MOST_LISTED],
        "quarantined": len(quarantine),
        "duplicates": _json(folder / "duplicates.json"),
    }


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    if file.is_file():
        yield from (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested statistics as lines of text, such as ``brightness mean``."""
    for key, value in values.items():
        name = f"{prefix} {key}".strip().replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, name)
        elif isinstance(value, list):
            yield name, ", ".join(_number(each) for each in value)
        else:
            yield name, _number(value)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
