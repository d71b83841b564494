"""A pipeline that goes on where a run ended: what a person approved of it is promoted, and nothing is done again.

What the run did is in the new pipeline word for word, so that all of it comes from Kubeflow's cache, whatever version
of Fettle is here: the same artifacts, whose lineage in ML Metadata goes on to the version that is served. (Kubeflow's
importer would make new ones of the same files, whose lineage begins there.)
"""

import copy
from collections.abc import Container, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from kfp.dsl.base_component import BaseComponent

from components.base import variable
from fettle.errors import ArtifactError
from fettle.spec import Spec
from pipelines.cluster.platform import Platform
from pipelines.cluster.pods import sharer
from pipelines.cluster.submit import Data, compose
from pipelines.groups import group

Compiled = Mapping[str, Any]  # ``pipeline_spec`` and ``platform_spec``, as Kubeflow's API has them
ANEW = ("promote", "confirm", "report")  # what a promotion does
CHEAP = ("select",)  # may be done again where the run did it in one pod with its own promotion


def resume(spec: Spec, platform: Platform, done: Compiled, approval: Mapping[str, Any]) -> tuple[Compiled, set[str]]:
    """Return the pipeline that promotes what a person approved of a run, and the tasks that come from the cache.

    Args:
        spec: Of the run; section ``serve`` may be another.
        platform: Where it ran.
        done: Its pipeline.
        approval: What the person approved (:class:`fettle.steps.promote.Approval`).

    Raises:
        ArtifactError: If the run was of another spec, or its tasks fit with this version no more.
        SpecError: If the platform has no model repository.
    """
    graph, pipeline = compose(spec, platform, data_of(done), approval=approval)
    groups = group(graph, sharer(spec.cluster))
    anew = {each.name for each in groups if any(task.step in ANEW for task in each.tasks)}
    return graft(compiled(pipeline), done, anew=anew)


def data_of(done: Compiled) -> Data:
    """Return which images a run read.

    Raises:
        ArtifactError: If it was no run of ours, or one of a version that said it otherwise.
    """
    try:
        given = _tasks(done)["ingest"]["inputs"]["parameters"]
        path, content = (given[variable("ingest", name)]["runtimeValue"]["constant"] for name in ("source", "content"))
    except KeyError as missing:
        raise ArtifactError(f"The run is none of this Fettle (it has no {missing}): submit its spec again.") from None
    return Data(path, content)


def compiled(pipeline: BaseComponent) -> Compiled:
    """Return a pipeline as Kubeflow's API has it."""
    return {
        "pipeline_spec": MessageToDict(pipeline.pipeline_spec),
        "platform_spec": MessageToDict(pipeline.platform_spec),
    }


def graft(fresh: Compiled, done: Compiled, *, anew: Container[str]) -> tuple[Compiled, set[str]]:
    """Return ``fresh`` with the tasks of ``done``, and their names.

    Args:
        fresh: A pipeline.
        done: The one of a run.
        anew: Tasks that are as they are in ``fresh``.

    Raises:
        ArtifactError: If ``fresh`` has others that the run did not have, or that give other artifacts.
    """
    grafted = copy.deepcopy(dict(fresh))
    taken = set()
    for name in _tasks(fresh):
        if name in anew or (name in CHEAP and name not in _tasks(done)):
            continue
        if name not in _tasks(done) or _outputs(done, name) != _outputs(fresh, name):
            raise ArtifactError(
                f"The run had no task {name!r} such as this Fettle makes of its spec: promote with the version and the "
                "spec that it was submitted with, or submit it again."
            )
        _take(done, grafted, name)
        taken.add(name)
    return grafted, taken


def _take(done: Compiled, grafted: Compiled, name: str) -> None:
    task = _tasks(grafted)[name] = _tasks(done)[name]
    component = task["componentRef"]["name"]
    made = grafted["pipeline_spec"]["components"][component] = done["pipeline_spec"]["components"][component]
    label = made["executorLabel"]
    for executors in (_containers, _pods):
        if label in executors(done):
            executors(grafted)[label] = executors(done)[label]


def _tasks(spec: Compiled) -> Any:
    return spec["pipeline_spec"]["root"]["dag"]["tasks"]


def _outputs(spec: Compiled, name: str) -> set[str]:
    component = spec["pipeline_spec"]["components"][_tasks(spec)[name]["componentRef"]["name"]]
    return set(component.get("outputDefinitions", {}).get("artifacts", {}))


def _containers(spec: Compiled) -> Any:
    return spec["pipeline_spec"]["deploymentSpec"]["executors"]


def _pods(spec: Compiled) -> Any:
    return spec["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
