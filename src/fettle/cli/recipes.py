"""Follow one recipe step by step, without an orchestrator."""

import re
from collections.abc import Iterator
from pathlib import Path

from fettle.errors import SpecError
from fettle.optimize.support import runtimes_for
from fettle.spec import FinetuneConfig, PruneConfig, QuantizeConfig, RecipeStep, SearchConfig, Spec, TensorRTConfig
from fettle.spec.recipes import STAGES

AUTO = "auto"  # the recipe that a search finds
MINUTES = {"s": 1 / 60, "m": 1.0, "h": 60.0}


def with_search(spec: Spec, budget: str) -> Spec:
    """Return ``spec`` with a recipe that searches for so long, such as ``30m``.

    Raises:
        SpecError: If that is no time.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", budget)
    if found is None or float(found[1]) == 0:
        raise SpecError(f"`--budget` must be a time above 0 such as 90s, 30m or 2h, got {budget!r}.")
    given = next((step.search for step in spec.recipes.get(AUTO, []) if step.search), SearchConfig())
    search = given.model_copy(update={"minutes": float(found[1]) * MINUTES[found[2]]})
    return spec.model_copy(update={"recipes": {**spec.recipes, AUTO: [RecipeStep(search=search)]}})


def follow(spec: Spec, name: str, model: Path, dataset: Path, out: Path) -> Iterator[tuple[Path, str]]:
    """Run the steps of recipe ``name`` (``baseline`` has none) and give each export with its runtime."""
    from fettle.steps.export import export

    steps = spec.recipes.get(name, [])
    trained = model
    for number, step in enumerate(steps):
        trained = _torch_step(step, spec, trained, model, dataset, out / f"{name}-{number}-{step.kind}")
    if steps and steps[-1].search:
        yield from _search(steps[-1].search, spec, name, trained, dataset, out)
        return
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


def _search(
    config: SearchConfig, spec: Spec, name: str, model: Path, dataset: Path, out: Path
) -> Iterator[tuple[Path, str]]:
    from fettle.export import open_export
    from fettle.steps.pick import pick
    from fettle.steps.search import search

    config = config.within(spec.gates.max_drop)
    found = out / f"{name}-search"
    search(model, dataset, found, config=config, train=spec.train, runtimes=spec.runtimes, recipe=name)
    for number in range(1, config.candidates + 1):
        made = pick(found, out / f"{name}-{number}", number=number, recipe=f"{name}-{number}").path
        yield made, open_export(made).runtimes[0]


def _export_step(step: RecipeStep, name: str, exported: Path, dataset: Path, out: Path, runtime: str) -> Path:
    if isinstance(step.config, QuantizeConfig):
        from fettle.steps.quantize import quantize

        return quantize(exported, dataset, out, config=step.config, recipe=name, runtime=runtime).path
    assert isinstance(step.config, TensorRTConfig)
    from fettle.steps.tensorrt import tensorrt

    return tensorrt(exported, dataset, out, config=step.config, recipe=name).path
