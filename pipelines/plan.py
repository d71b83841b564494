"""The graph of a spec, as plain data: which tasks run, on which artifacts, with which settings.

Recipes are paths in a tree: a prefix that several recipes share runs once. Every node is a task whose
name says step, recipe and runtime, so that the graph reads like the table of candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from fettle.hardware import Passport
from fettle.optimize.support import missing_hardware, runtimes_for
from fettle.spec import FinetuneConfig, Recipe, RecipeStep, Spec
from fettle.spec.recipes import TORCH_STEPS


@dataclass(frozen=True)
class Task:
    """One task of the graph.

    Attributes:
        name: Unique, such as ``quantize-int8-openvino``.
        step: The step that it runs: a component of the same name.
        inputs: Artifacts by role; a role of several artifacts maps candidate names to tasks.
        settings: JSON values that the step gets.
    """

    name: str
    step: str
    inputs: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the tasks that have to end first."""
        given = (source.values() if isinstance(source, Mapping) else [source] for source in self.inputs.values())
        return tuple(dict.fromkeys(chain.from_iterable(given)))


@dataclass(frozen=True)
class Candidate:
    """An export in one runtime, and the task that made it."""

    name: str
    export: str
    runtime: str


@dataclass(frozen=True)
class Plan:
    """Tasks in an order that respects their inputs; recipes left out, and why."""

    tasks: tuple[Task, ...]
    candidates: tuple[Candidate, ...]
    skipped: Mapping[str, str]

    def task(self, name: str) -> Task:
        return next(task for task in self.tasks if task.name == name)


def plan(spec: Spec, *, content: str = "", machine: Passport | None = None) -> Plan:
    """Return the graph of ``spec``.

    Args:
        spec: The resolved spec.
        content: Digest of the source data; part of the ingest task, so that other data is other work.
        machine: Where it will run; recipes that need hardware which is not there are left out. ``None``
            (a cluster) leaves none out.
    """
    return _Planner(spec, content, machine).plan()


class _Planner:
    def __init__(self, spec: Spec, content: str, machine: Passport | None) -> None:
        self.spec, self.content, self.machine = spec, content, machine
        self.tasks: dict[str, Task] = {}
        self.candidates: list[Candidate] = []
        self.skipped: dict[str, str] = {}
        self.nodes: dict[tuple[str, ...], str] = {}  # path of a recipe -> the task at its end

    def plan(self) -> Plan:
        self._prepare()
        self._candidates("baseline", self._export((), "train"), self.spec.runtimes)
        for name, recipe in self.spec.recipes.items():
            reason = missing_hardware(recipe, self.machine) if self.machine else None
            if reason:
                self.skipped[name] = reason
            else:
                self._recipe(name, recipe)
        self._judge()
        return Plan(tuple(self.tasks.values()), tuple(self.candidates), self.skipped)

    def _add(self, step: str, *suffix: str, inputs: Mapping[str, Any] | None = None, **settings: Any) -> str:
        name = "-".join((step, *suffix))
        self.tasks[name] = Task(name, step, inputs or {}, settings)
        return name

    def _prepare(self) -> None:
        spec = self.spec
        self._add(
            "ingest", source=spec.dataset.path, content=self.content, dataset=spec.dataset.to_json(),
            image_size=spec.model.image_size, task=spec.task,
        )  # fmt: skip
        inputs = {"dataset": "ingest"}
        settings = {"model": spec.model.to_json(), "train": spec.train.to_json()}
        if spec.tune.trials:
            self._add("tune", inputs=inputs, **settings, tune=spec.tune.to_json())
            inputs = {**inputs, "study": "tune"}
        self._add("train", inputs=inputs, **settings)

    def _recipe(self, name: str, recipe: Recipe) -> None:
        """Add the recipe's tasks, but for those of a prefix that is there already."""
        last, path = "train", ()
        torch_steps = [step for step in recipe if step.kind in TORCH_STEPS]
        for step in torch_steps:
            parent, path = last, (*path, *_torch_path([step]))
            last = self.nodes.get(path) or self._torch_step(self._owner(path), step, parent)
            self.nodes[path] = last
        export = self._export(path, last)
        for step in recipe[len(torch_steps) :]:
            self._export_step(name, step, export)
        if len(torch_steps) == len(recipe):
            self._candidates(name, export, self.spec.runtimes)

    def _owner(self, path: tuple[str, ...]) -> str:
        """Name a shared prefix after the shortest recipe that begins with it."""
        recipes = self.spec.recipes
        return min((name for name in recipes if _torch_path(recipes[name])[: len(path)] == path),
                   key=lambda name: len(recipes[name]))  # fmt: skip

    def _torch_step(self, owner: str, step: RecipeStep, parent: str) -> str:
        inputs = {"model": parent, "dataset": "ingest"}
        settings: dict[str, Any] = {"config": step.config.to_json()}
        if isinstance(step.config, FinetuneConfig):
            settings["train"] = self.spec.train.to_json()
            if step.config.distil:
                inputs["parent"] = "train"
        return self._add(step.kind, owner, inputs=inputs, **settings)

    def _export(self, path: tuple[str, ...], model: str) -> str:
        key = (*path, "export")
        if key not in self.nodes:
            owner = self._owner(path) if path else "baseline"
            inputs = {"model": model, "dataset": "ingest"}
            self.nodes[key] = self._add(
                "export", owner, inputs=inputs, recipe=owner, detections=self.spec.detections.to_json()
            )
        return self.nodes[key]

    def _export_step(self, name: str, step: RecipeStep, export: str) -> None:
        inputs = {"export": export, "dataset": "ingest"}
        for runtime in runtimes_for(step, self.spec.runtimes):
            settings = {"config": step.config.to_json(), "recipe": name, "runtime": runtime}
            made = self._add(step.kind, name, runtime, inputs=inputs, **settings)
            self._candidates(name, made, [runtime])

    def _candidates(self, recipe: str, export: str, runtimes: list[Any]) -> None:
        for runtime in runtimes:
            if runtime == "tensorrt" and not export.startswith("tensorrt"):
                continue  # an engine has to be built first
            candidate = Candidate(f"{recipe}-{runtime}", export, runtime)
            inputs = {"export": export, "dataset": "ingest"}
            reference = f"validate-baseline-{runtime}"
            if reference in self.tasks:
                inputs["reference"] = reference
            self._add(
                "validate", candidate.name, inputs=inputs, name=candidate.name, runtime=runtime,
                detections=self.spec.detections.to_json(),
            )  # fmt: skip
            self.candidates.append(candidate)

    def _judge(self) -> None:
        spec = self.spec
        exports = {each.name: each.export for each in self.candidates}
        validations = {each.name: f"validate-{each.name}" for each in self.candidates}
        runtimes = {each.name: each.runtime for each in self.candidates}
        self._add(
            "benchmark", inputs={"exports": exports, "dataset": "ingest"}, runtimes=runtimes,
            config=spec.benchmark.to_json(),
        )  # fmt: skip
        self._add(
            "select", inputs={"validations": validations, "benchmark": "benchmark"}, gates=spec.gates.to_json(),
            profile=spec.serve.profile,
        )  # fmt: skip
        told: dict[str, str] = {"dataset": "ingest", "model": "train", **validations, "benchmark": "benchmark"}
        told |= {"study": "tune"} if spec.tune.trials else {}
        told |= {name: name for name in self.tasks if name.split("-")[0] in TORCH_STEPS}
        told["selection"] = "select"
        if spec.serve.approve == "auto":
            name = spec.serve.model_name or spec.name
            serve = {"serve": spec.serve.to_json()}
            self._add("promote", inputs={"exports": exports, "selection": "select"}, name=name, **serve)
            inputs = {"promotion": "promote", "validations": validations, "dataset": "ingest"}
            self._add("confirm", inputs=inputs, **serve)
            told |= {"promotion": "promote", "confirmation": "confirm"}
        self._add("report", inputs={"artifacts": told}, title=spec.name, skipped=self.skipped)


def _torch_path(recipe: Recipe) -> tuple[str, ...]:
    """Return the identity of the steps that change the network itself."""
    return tuple(step.model_dump_json() for step in recipe if step.kind in TORCH_STEPS)
