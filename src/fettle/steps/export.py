"""Step ``export``: a trained model to an ONNX file that takes photographs and gives answers."""

from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.export.onnx import describe, export_onnx
from fettle.models import load_model
from fettle.spec import DetectionConfig, TtaConfig

DETECTIONS = DetectionConfig()


def export(
    model: Path,
    out: Path,
    *,
    dataset: Path,
    recipe: str,
    detections: DetectionConfig = DETECTIONS,
    tta: TtaConfig | None = None,
    plain: Path | None = None,
) -> Artifact:
    """Export ``model`` to ONNX, pre- and post-processing inside.

    Args:
        model: ``model`` artifact.
        out: Where the ``export`` artifact is written.
        dataset: ``dataset`` artifact that it was trained on; how its images became square is recorded.
        recipe: Name of the recipe, such as ``baseline``.
        detections: For detectors: thresholds and suppression inside the graph.
        tta: Views of the image whose answers are averaged, inside the graph.
        plain: ``export`` artifact without them, which this one is compared with.

    Raises:
        ArtifactError: If an input is missing or altered.
        OptimizeError: If the network cannot be exported, or the graph answers differently.
    """
    source, data = Artifact.open(model, kind="model"), card.read_card(dataset)
    network, architecture = load_model(model)
    resize = data.config.get("dataset", {}).get("resize", "squash")
    config = {"recipe": recipe, "resize": resize} | ({"tta": tta.to_json()} if tta else {})
    parents = {"model": source.card} | ({"plain": card.read_card(plain)} if plain else {})
    with card.create(out, kind="export", name=recipe, config=config, parents=parents) as draft:
        manifest = describe(draft.path, architecture, recipe=recipe, resize=resize, detections=detections)
        export_onnx(network, architecture, manifest.file, detections=detections, tta=tta)
        manifest.save()
        draft.summary.update(precision=manifest.precision, megabytes=round(manifest.file.stat().st_size / 1e6, 3))
    return Artifact.open(out, kind="export")
