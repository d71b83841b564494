"""The graph of a spec, as plain data: which tasks run, on which artifacts, with which settings.

Recipes are paths in a tree: a prefix that several recipes share runs once. Every node is a task whose
name says step, recipe and runtime, so that the graph reads like the table of candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Any

from fettle.hardware import Passport
from fettle.optimize.support import missing_hardware, runtimes_for
from fettle.spec import FinetuneConfig, MemberConfig, Recipe, RecipeStep, SearchConfig, Spec
from fettle.spec.ensemble import STUDENT
from fettle.spec.recipes import BASELINE, TORCH_STEPS

# Steps whose result is of the machine that they run on: another one does not take it from the cache.
OF_THE_MACHINE = ("prune", "quantize", "search", "validate", "benchmark")
# Steps whose artifacts the report tells of, beside the candidates'.
TOLD = ("tune", "gather", "train", *TORCH_STEPS, "search", "vote")


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
    """An export in one runtime, and the task that made it; without a runtime it is the one that it was made for."""

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


def plan(
    spec: Spec,
    *,
    content: str = "",
    machine: Passport | None = None,
    approval: Mapping[str, Any] = MappingProxyType({}),
    began: str = "",
) -> Plan:
    """Return the graph of ``spec``.

    Args:
        spec: The resolved spec.
        content: Digest of the source data; part of the ingest task, so that other data is other work.
        machine: Where it will run; recipes that need hardware which is not there are left out, and what was measured
            elsewhere is measured again. ``None`` (a cluster) leaves none out.
        approval: What a person approved (:class:`fettle.steps.promote.Approval`) is promoted, whatever the spec says.
        began: What stands for the time at which the run began, where the orchestrator knows it.
    """
    return _Planner(spec, content, machine, approval, began).plan()


@dataclass(frozen=True)
class _Track:
    """One trained network and its recipes.

    Attributes:
        name: Parts its tasks from those of other networks; none where it is the only one.
        network: How it is made.
        trained: Task that trained it.
        nodes: Path of a recipe -> the task at its end.
    """

    name: str
    network: Spec | MemberConfig
    trained: str
    nodes: dict[tuple[str, ...], str] = field(default_factory=dict)

    def named(self, recipe: str) -> str:
        """Return what a recipe is called in the table of candidates."""
        return _named(self.name, recipe)

    def owner(self, path: tuple[str, ...]) -> str:
        """Name a shared prefix after the shortest recipe that begins with it."""
        recipes = self.network.recipes
        sharing = (name for name, recipe in recipes.items() if _path(recipe)[: len(path)] == path)
        return self.named(min(sharing, key=lambda name: len(recipes[name])) if path else BASELINE)


class _Planner:
    def __init__(
        self, spec: Spec, content: str, machine: Passport | None, approval: Mapping[str, Any], began: str
    ) -> None:
        self.spec, self.content, self.machine = spec, content, machine
        self.approval, self.began = approval, began
        self.tasks: dict[str, Task] = {}
        self.candidates: list[Candidate] = []
        self.skipped: dict[str, str] = {}

    def plan(self) -> Plan:
        spec = self.spec
        self._add(
            "ingest", source=spec.dataset.path, content=self.content, dataset=spec.dataset.to_json(),
            image_size=spec.model.image_size, task=spec.task,
        )  # fmt: skip
        for name, member in spec.members.items():
            self._track(name, member)
        inputs: dict[str, str] = {}
        settings: dict[str, Any] = {}
        if spec.members:
            teacher = self._vote()
            if spec.ensemble.distil:
                inputs["teacher"], settings["distil"] = teacher, spec.ensemble.distil.to_json()
        if spec.tune.trials:
            inputs["study"] = self._tune()
        self._track(STUDENT if spec.members else "", spec, inputs=inputs, **settings)
        self._judge()
        return Plan(tuple(self.tasks.values()), tuple(self.candidates), self.skipped)

    def _add(self, step: str, *suffix: str, inputs: Mapping[str, Any] | None = None, **settings: Any) -> str:
        name = "-".join((step, *suffix))
        if self.machine and step in OF_THE_MACHINE:
            settings["machine"] = self.machine.fingerprint
        self.tasks[name] = Task(name, step, inputs or {}, settings)
        return name

    def _tune(self) -> str:
        """Add the search for the single network: one task, or workers that share the trials and one that gathers."""
        spec, inputs = self.spec, {"dataset": "ingest"}
        settings = {**_fit(spec), "tune": spec.tune.to_json()}
        if spec.tune.workers == 1:
            return self._add("tune", inputs=inputs, **settings)
        names = [f"tune-{number}" for number in range(1, spec.tune.workers + 1)]
        for number, name in enumerate(names, 1):
            self._add("tune", str(number), inputs=inputs, worker=name, **settings)
        return self._add("gather", inputs={**inputs, "trials": {name: name for name in names}}, **settings)

    def _track(
        self, name: str, network: Spec | MemberConfig, *, inputs: Mapping[str, str] = MappingProxyType({}), **more: Any
    ) -> None:
        """Add a network's training and its recipes."""
        suffix = [name] if name else []
        trained = self._add("train", *suffix, inputs={"dataset": "ingest", **inputs}, **_fit(network), **more)
        track = _Track(name, network, trained)
        self._candidates(track.named(BASELINE), self._export(track, (), trained), self.spec.runtimes)
        for name, recipe in network.recipes.items():
            reason = missing_hardware(recipe, self.machine) if self.machine else None
            if reason:
                self.skipped[track.named(name)] = reason
            else:
                self._recipe(track, name, recipe)

    def _recipe(self, track: _Track, name: str, recipe: Recipe) -> None:
        """Add the recipe's tasks, but for those of a prefix that is there already."""
        last, path = track.trained, ()
        for step in (step for step in recipe if step.kind in TORCH_STEPS):
            parent, path = last, (*path, *_path([step]))
            last = track.nodes.get(path) or self._torch_step(track, path, step, parent)
            track.nodes[path] = last
        if recipe[-1].search:
            self._search(track, name, recipe[-1].search, last)
            return
        tta = next((step for step in recipe if step.tta), None)
        export = self._export(track, path if tta is None else (*path, *_path([tta])), last, tta)
        final = next((step for step in recipe if step.quantize or step.tensorrt), None)
        if final is None:
            self._candidates(track.named(name), export, self.spec.runtimes, reference=track.named(BASELINE))
        else:
            self._export_step(track, name, final, export)

    def _torch_step(self, track: _Track, path: tuple[str, ...], step: RecipeStep, parent: str) -> str:
        inputs = {"model": parent, "dataset": "ingest"}
        settings: dict[str, Any] = {"config": step.config.to_json()}
        if isinstance(step.config, FinetuneConfig):
            settings["train"] = track.network.train.to_json()
            if step.config.distil:
                inputs["parent"] = track.trained
        return self._add(step.kind, track.owner(path), inputs=inputs, **settings)

    def _export(self, track: _Track, path: tuple[str, ...], model: str, tta: RecipeStep | None = None) -> str:
        key = (*path, "export")
        if key not in track.nodes:
            owner, inputs = track.owner(path), {"model": model, "dataset": "ingest"}
            views = {"tta": tta.config.to_json()} if tta else {}
            if tta:
                inputs["plain"] = self._export(track, path[:-1], model)
            track.nodes[key] = self._add(
                "export", owner, inputs=inputs, recipe=owner, detections=self.spec.detections.to_json(), **views
            )
        return track.nodes[key]

    def _export_step(self, track: _Track, recipe: str, step: RecipeStep, export: str) -> None:
        inputs, name = {"export": export, "dataset": "ingest"}, track.named(recipe)
        for runtime in runtimes_for(step, self.spec.runtimes):
            settings = {"config": step.config.to_json(), "recipe": name, "runtime": runtime}
            made = self._add(step.kind, name, runtime, inputs=inputs, **settings)
            self._candidates(name, made, [runtime], reference=track.named(BASELINE))

    def _search(self, track: _Track, recipe: str, config: SearchConfig, model: str) -> None:
        """Add a search, and the candidates that it ends with: in which runtime each is, only the search knows."""
        spec, name = self.spec, track.named(recipe)
        found = self._add(
            "search", name, inputs={"model": model, "dataset": "ingest"},
            config=config.within(spec.gates.max_drop).to_json(), train=track.network.train.to_json(),
            runtimes=list(spec.runtimes), recipe=name,
        )  # fmt: skip
        for number in range(1, config.candidates + 1):
            owner = f"{name}-{number}"
            made = self._add("pick", owner, inputs={"search": found}, number=number, recipe=owner)
            self._candidate(Candidate(owner, made, ""), reference=f"{track.named(BASELINE)}-{spec.runtimes[0]}")

    def _candidates(self, recipe: str, export: str, runtimes: Sequence[str], *, reference: str = "") -> None:
        for runtime in runtimes:
            if runtime == "tensorrt" and not export.startswith("tensorrt"):
                continue  # an engine has to be built first
            self._candidate(Candidate(f"{recipe}-{runtime}", export, runtime), reference=f"{reference}-{runtime}")

    def _candidate(self, candidate: Candidate, *, reference: str) -> None:
        inputs = {"export": candidate.export, "dataset": "ingest"}
        if (before := f"validate-{reference}") in self.tasks:
            inputs["reference"] = before
        self._add(
            "validate", candidate.name, inputs=inputs, name=candidate.name, runtime=candidate.runtime,
            detections=self.spec.detections.to_json(),
        )  # fmt: skip
        self.candidates.append(candidate)

    def _vote(self) -> str:
        """Add the votes of the members, by the weights of the spec and by fitted ones; return the fitted one."""
        spec, made = self.spec, ""
        exports = {each.name: each.export for each in self.candidates}
        voters = {name: self._voter(name) for name in spec.members}
        weights = spec.ensemble.weights or {name: 1 / len(voters) for name in voters}
        for recipe in ("default", "fitted"):
            made = self._add(
                "vote",
                recipe,
                inputs={
                    "exports": {name: exports[candidate] for name, candidate in voters.items()},
                    "validations": {name: f"validate-{candidate}" for name, candidate in voters.items()},
                },
                recipe=recipe,
                weights=weights,
            )
            self._candidates(recipe, made, ["ensemble"])
        return made

    def _voter(self, name: str) -> str:
        """Return the candidate with which a member votes."""
        member = self.spec.members[name]
        return f"{_named(name, member.voting_recipe)}-{member.voting_runtime}"

    def _judge(self) -> None:
        spec = self.spec
        exports = {each.name: each.export for each in self.candidates}
        validations = {each.name: f"validate-{each.name}" for each in self.candidates}
        runtimes = {each.name: each.runtime for each in self.candidates}
        self._add(
            "benchmark", inputs={"exports": exports, "dataset": "ingest"}, runtimes=runtimes,
            config=spec.benchmark.to_json(),
        )  # fmt: skip
        baselines = {"baselines": [self._voter(name) for name in spec.members]} if spec.members else {}
        self._add(
            "select", inputs={"validations": validations, "benchmark": "benchmark"}, gates=spec.gates.to_json(),
            profile=spec.serve.profile, **baselines,
        )  # fmt: skip
        told: dict[str, str] = {"dataset": "ingest", **validations, "benchmark": "benchmark"}
        told |= {name: name for name, task in self.tasks.items() if task.step in TOLD}
        told["selection"] = "select"
        if spec.serve.approve == "auto" or self.approval:
            name = spec.serve.model_name or spec.name
            serve = {"serve": spec.serve.to_json()}
            given = {"approval": self.approval} if self.approval else {}
            self._add("promote", inputs={"exports": exports, "selection": "select"}, name=name, **serve, **given)
            inputs = {"promotion": "promote", "validations": validations, "dataset": "ingest"}
            self._add("confirm", inputs=inputs, **serve)
            told |= {"promotion": "promote", "confirmation": "confirm"}
        began = {"began": self.began} if self.began else {}
        self._add("report", inputs={"artifacts": told}, title=spec.name, skipped=self.skipped, **began)


def _named(network: str, recipe: str) -> str:
    return "-".join(part for part in (network, "" if network and recipe == BASELINE else recipe) if part)


def _fit(network: Spec | MemberConfig) -> dict[str, Any]:
    return {"model": network.model.to_json(), "train": network.train.to_json()}


def _path(recipe: Recipe) -> tuple[str, ...]:
    """Return the identity of the steps that shape the exported graph."""
    return tuple(step.model_dump_json() for step in recipe if step.kind in (*TORCH_STEPS, "tta"))
