"""Step ``quantize``: an exported model in lower precision, for one runtime."""

from dataclasses import replace
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.data import open_dataset
from fettle.export import open_export
from fettle.optimize import quantization
from fettle.optimize.calibration import calibration_images
from fettle.spec import QuantizeConfig


def quantize(export: Path, dataset: Path, out: Path, *, config: QuantizeConfig, recipe: str, runtime: str) -> Artifact:
    """Quantize ``export``, calibrated on the calib split.

    Args:
        export: ``export`` artifact, float32 ONNX.
        dataset: ``dataset`` artifact; only its calib split is looked at (train, where there is none).
        out: Where the new ``export`` artifact is written.
        config: Precision, calibration, nodes to keep in float.
        recipe: Name of the recipe that it belongs to.
        runtime: Which runtime it is for.

    Raises:
        ArtifactError: If an input is missing or altered.
        OptimizeError: If the runtime cannot do the precision, or the result is broken.
        HardwareError: If this machine cannot do the precision.
    """
    source, data = open_export(export), open_dataset(dataset)
    images = calibration_images(data, config.images)
    settings = {"config": config.to_json(), "recipe": recipe, "runtime": runtime}
    parents = {"export": card.read_card(export), "dataset": data.artifact.card}
    with card.create(out, kind="export", name=f"{recipe}-{runtime}", config=settings, parents=parents) as draft:
        made = quantization.quantize(source, draft.path, images, config=config, runtime=runtime)
        made = replace(made, recipe=recipe)
        made.save()
        draft.summary.update(
            precision=made.precision,
            images=len(images),
            megabytes=round(sum(file.stat().st_size for file in made.files) / 1e6, 3),
            parent_megabytes=round(sum(file.stat().st_size for file in source.files) / 1e6, 3),
        )
    return Artifact.open(out, kind="export")
