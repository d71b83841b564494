"""Step ``tensorrt``: an exported model to an engine for the GPU of this machine."""

from dataclasses import replace
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.data import open_dataset
from fettle.export import open_export
from fettle.export.manifest import FILES
from fettle.export.tensorrt import build_engine, check_device
from fettle.optimize.calibration import calibration_images
from fettle.optimize.quantization import check_answers, prepare_for_tensorrt
from fettle.spec import TensorRTConfig

CALIBRATION_IMAGES = 200


def tensorrt(
    export: Path, dataset: Path, out: Path, *, config: TensorRTConfig, recipe: str, timing_cache: Path | None = None
) -> Artifact:
    """Build a TensorRT engine of ``export``.

    Args:
        export: ``export`` artifact, float32 ONNX.
        dataset: ``dataset`` artifact; its calib split sets the ranges for ``int8``.
        out: Where the new ``export`` artifact is written.
        config: Precision, memory and largest batch.
        recipe: Name of the recipe that it belongs to.
        timing_cache: File of kernel timings that builds on one machine share.

    Raises:
        HardwareError: If this machine has no GPU or no TensorRT; nothing is written then.
        ArtifactError: If an input is missing or altered.
        OptimizeError: If TensorRT cannot take the graph.
    """
    check_device()
    source, data = open_export(export), open_dataset(dataset)
    images = calibration_images(data, CALIBRATION_IMAGES)
    settings = {"config": config.to_json(), "recipe": recipe}
    parents = {"export": card.read_card(export), "dataset": data.artifact.card}
    with card.create(out, kind="export", name=recipe, config=settings, parents=parents) as draft:
        made = replace(
            source,
            path=draft.path,
            recipe=recipe,
            format="tensorrt",
            precision=config.precision,
            runtimes=("tensorrt",),
            options={},
        )
        # Kept beside the plan: other thresholds mean another build.
        graph = draft.path / FILES["onnx"]
        prepare_for_tensorrt(source, graph, images, config=config)
        device = build_engine(
            graph,
            made.file,
            image=made.input,
            max_batch=config.max_batch,
            workspace_gb=config.workspace_gb,
            timing_cache=timing_cache,
        )
        made = replace(made, passport=device)
        made.save()
        check_answers(source, made, images[: config.max_batch], runtimes=("onnxruntime", "tensorrt"))
        draft.summary.update(precision=made.precision, megabytes=round(made.file.stat().st_size / 1e6, 3), **device)
    return Artifact.open(out, kind="export")
