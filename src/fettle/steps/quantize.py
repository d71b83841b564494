"""Step ``quantize``: an exported model in lower precision, for one runtime."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fettle import card
from fettle.card import Artifact
from fettle.data import Dataset, open_dataset
from fettle.evaluate.measures import headline
from fettle.evaluate.score import score
from fettle.export import Export, open_export
from fettle.hardware import passport
from fettle.optimize import quantization
from fettle.optimize.calibration import calibration_images, calibration_subset
from fettle.spec import QuantizeConfig


def quantize(export: Path, dataset: Path, out: Path, *, config: QuantizeConfig, recipe: str, runtime: str) -> Artifact:
    """Quantize ``export``, calibrated on the calib split.

    Args:
        export: ``export`` artifact, float32 ONNX.
        dataset: ``dataset`` artifact; only its calib split is looked at (train, where there is none).
        out: Where the new ``export`` artifact is written.
        config: Precision, calibration, nodes to keep in float, the drop that is allowed.
        recipe: Name of the recipe that it belongs to.
        runtime: Which runtime it is for.

    Raises:
        ArtifactError: If an input is missing or altered.
        OptimizeError: If the runtime cannot do the precision, the result is broken, or ``config.max_drop`` cannot be
            held.
        HardwareError: If this machine cannot do the precision.
    """
    source, data = open_export(export), open_dataset(dataset)
    images = calibration_images(data, config.images)
    config = quantization.for_machine(config, passport())
    settings = {"config": config.to_json(), "recipe": recipe, "runtime": runtime}
    parents = {"export": card.read_card(export), "dataset": data.artifact.card}
    with card.create(out, kind="export", name=f"{recipe}-{runtime}", config=settings, parents=parents) as draft:
        make = _within if config.max_drop is not None else _plainly
        made, told = make(source, draft.path, images, config, runtime, data)
        made = replace(made, recipe=recipe)
        made.save()
        draft.summary.update(
            precision=made.precision,
            images=len(images),
            megabytes=round(sum(file.stat().st_size for file in made.files) / 1e6, 3),
            parent_megabytes=round(sum(file.stat().st_size for file in source.files) / 1e6, 3),
            **told,
        )
    return Artifact.open(out, kind="export")


Made = tuple[Export, Mapping[str, Any]]


def _plainly(
    source: Export, folder: Path, images: np.ndarray, config: QuantizeConfig, runtime: str, _: Dataset
) -> Made:
    return quantization.quantize(source, folder, images, config=config, runtime=runtime), {}


def _within(
    source: Export, folder: Path, images: np.ndarray, config: QuantizeConfig, runtime: str, data: Dataset
) -> Made:
    """Quantize as far as ``config.max_drop`` allows; the card says how, and which layers are in float."""
    from fettle.optimize.recovery import quantize_within

    found = quantize_within(source, folder, images, config=config, runtime=runtime, score=score_on_calib(data, runtime))
    return found.export, {
        "measure": headline(source.task).name,
        "before": found.before,
        "all_quantized": found.lowest,
        "after": found.after,
        "way": dict(found.way),
        "kept_float": list(found.kept),
    }


def score_on_calib(data: Dataset, runtime: str) -> Callable[[Export], float]:
    """Return a function that tells an export's headline score on the calib split in ``runtime``."""
    subset = calibration_subset(data)
    return lambda export: score(export, subset, runtime)
