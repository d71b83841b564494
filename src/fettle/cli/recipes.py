"""Follow one recipe step by step, without an orchestrator."""

from collections.abc import Iterator
from pathlib import Path

from fettle.optimize.support import runtimes_for
from fettle.spec import FinetuneConfig, PruneConfig, QuantizeConfig, RecipeStep, Spec, TensorRTConfig
from fettle.spec.recipes import STAGES


def follow(spec: Spec, name: str, model: Path, dataset: Path, out: Path) -> Iterator[tuple[Path, str]]:
    """Run the steps of recipe ``name`` (``baseline`` has none) and give each export with its runtime."""
    from fettle.steps.export import export

    steps = spec.recipes.get(name, [])
    trained = model
    for number, step in enumerate(steps):
        trained = _torch_step(step, spec, trained, model, dataset, out / f"{name}-{number}-{step.kind}")
    exported = out / f"{name}-export"
    views = next((step.tta for step in steps if step.tta), None)
    export(trained, exported, dataset=dataset, recipe=name, detections=spec.detections, tta=views)
    last = steps[-1] if steps else None
    if last is None or STAGES[last.kind] < STAGES["quantize"]:
        yield from ((exported, runtime) for runtime in spec.runtimes if runtime != "tensorrt")
        return
    for runtime in runtimes_for(last, spec.runtimes):
        yield _export_step(last, name, exported, dataset, out / f"{name}-{runtime}", runtime), runtime


def _torch_step(step: RecipeStep, spec: Spec, trained: Path, teacher: Path, dataset: Path, out: Path) -> Path:
    if isinstance(step.config, PruneConfig):
        from fettle.steps.prune import prune

        return prune(trained, out, dataset=dataset, config=step.config).path
    if isinstance(step.config, FinetuneConfig):
        from fettle.steps.finetune import finetune

        return finetune(trained, dataset, out, parent=teacher, config=step.config, train=spec.train).path
    return trained


def _export_step(step: RecipeStep, name: str, exported: Path, dataset: Path, out: Path, runtime: str) -> Path:
    if isinstance(step.config, QuantizeConfig):
        from fettle.steps.quantize import quantize

        return quantize(exported, dataset, out, config=step.config, recipe=name, runtime=runtime).path
    assert isinstance(step.config, TensorRTConfig)
    from fettle.steps.tensorrt import tensorrt

    return tensorrt(exported, dataset, out, config=step.config, recipe=name).path
