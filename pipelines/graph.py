"""A plan as a Kubeflow pipeline."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from kfp import compiler, dsl
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.pipeline_channel import PipelineArtifactChannel

from components.base import Part, component, identifier, variable
from pipelines.groups import Group
from pipelines.plan import Plan, Task

Dress = Callable[[Sequence[Task], dsl.PipelineTask], None]
Made = Mapping[str, PipelineArtifactChannel]  # task -> its artifact


def build(plan: Plan, *, name: str, groups: Sequence[Group] = (), dress: Dress | None = None) -> BaseComponent:
    """Return the pipeline of ``plan``: every task a named node, wired by its artifacts; it gives the last one's.

    Args:
        plan: The tasks.
        name: Name of the pipeline.
        groups: Tasks that share a node; by default none do.
        dress: Says on each node what its pod needs on a cluster.
    """
    groups = groups or [Group(task.name, (task,)) for task in plan.tasks]

    def pipeline() -> dsl.Artifact:
        made: dict[str, PipelineArtifactChannel] = {}
        for each in groups:
            node, outputs = _node(each, made)
            made |= outputs
            if dress:
                dress(each.tasks, node)
        return made[plan.tasks[-1].name]

    return dsl.pipeline(name=name, description="Labelled images to a confirmed model on Triton.")(pipeline)


def write(pipeline: BaseComponent, file: Path) -> None:
    """Compile to the YAML that a Kubeflow Pipelines server takes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline, str(file))


def _node(group: Group, made: Made) -> tuple[dsl.PipelineTask, Made]:
    inside = {task.name: variable(task.name, "out") for task in group.tasks}
    held = {name: identifier(name) for name in group.sources} | inside
    parts = [
        Part(
            task.name,
            _body(task),
            {role: _held(source, held) for role, source in task.inputs.items()},
            list(task.settings),
        )
        for task in group.tasks
    ]
    arguments: dict[str, Any] = {identifier(name): made[name] for name in group.sources}
    for task in group.tasks:
        arguments |= {variable(task.name, name): value for name, value in _settings(task).items()}
    node = component(parts, name=group.name, inputs=[identifier(name) for name in group.sources])(**arguments)
    return node, {name: node.outputs[output] for name, output in inside.items()}


def _held(source: str | Mapping[str, str], held: Mapping[str, str]) -> str | dict[str, str]:
    return held[source] if isinstance(source, str) else {name: held[each] for name, each in source.items()}


def _body(task: Task) -> Callable[..., Any]:
    return getattr(import_module(f"components.{task.step}"), task.step)


def _settings(task: Task) -> dict[str, Any]:
    # A dictionary goes as JSON text: Kubeflow's own would turn 5 into 5.0 and refuse null.
    return {name: json.dumps(value) if isinstance(value, Mapping) else value for name, value in task.settings.items()}
