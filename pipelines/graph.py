"""A plan as a Kubeflow pipeline."""

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from kfp import compiler, dsl
from kfp.dsl.base_component import BaseComponent

from components.base import component, input_name
from pipelines.plan import Plan, Task


def build(plan: Plan, *, name: str) -> BaseComponent:
    """Return the pipeline of ``plan``: every task a named node, wired by its artifacts; it gives the last one's."""

    def pipeline() -> dsl.Artifact:
        made: dict[str, dsl.PipelineTask] = {}
        for task in plan.tasks:
            made[task.name] = _component(task)(**_arguments(task, made))
        return made[plan.tasks[-1].name].outputs["out"]

    return dsl.pipeline(name=name, description="Labelled images to a confirmed model on Triton.")(pipeline)


def write(pipeline: BaseComponent, file: Path) -> None:
    """Compile to the YAML that a Kubeflow Pipelines server takes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline, str(file))


def _component(task: Task) -> BaseComponent:
    body = getattr(import_module(f"components.{task.step}"), task.step)
    many = {role: list(names) for role, names in task.inputs.items() if isinstance(names, Mapping)}
    return component(body, name=task.name, many=many)


def _arguments(task: Task, made: Mapping[str, dsl.PipelineTask]) -> dict[str, Any]:
    # A dictionary goes as JSON text: Kubeflow's own would turn 5 into 5.0 and refuse null.
    arguments: dict[str, Any] = {
        name: json.dumps(value) if isinstance(value, Mapping) else value for name, value in task.settings.items()
    }
    for role, source in task.inputs.items():
        if isinstance(source, Mapping):
            arguments |= {input_name(role, name): made[each].outputs["out"] for name, each in source.items()}
        else:
            arguments[role] = made[source].outputs["out"]
    return arguments
