"""How far a run is: Kubeflow's task details as one state a task of the plan."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run
from kubernetes.client import V1Pod

State = Literal["waiting", "running", "done", "cached", "failed", "left out"]
ENDED = ("done", "cached", "failed", "left out")
RUN_ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
NODE_NAME = "workflows.argoproj.io/node-name"
# <workflow>.root.<task>-driver, <workflow>.root.<task>.executor, <workflow>.root.<task>.executor(<attempt>)
NODE = re.compile(r"\.root\.(?P<task>[a-z0-9-]+?)(?:(?P<driver>-driver)|\.executor(?:\((?P<attempt>\d+)\))?)$")


@dataclass(frozen=True)
class Step:
    """A task of a run.

    Attributes:
        name: Name in the plan.
        state: How far it is; ``cached`` if its result was there already.
        seconds: From the start of its driver to its end; 0 while it is not over.
    """

    name: str
    state: State
    seconds: float = 0.0


@dataclass(frozen=True)
class Place:
    """Which task a pod works for."""

    task: str
    driver: bool
    attempt: int


def task_names(run: V2beta1Run) -> tuple[str, ...]:
    """Return the names of a run's tasks."""
    spec: Mapping[str, Any] = run.pipeline_spec
    return tuple(spec.get("pipeline_spec", spec)["root"]["dag"]["tasks"])


def run_state(run: V2beta1Run) -> str:
    """Return the state of a run; Kubeflow calls one FAILED that somebody terminated."""
    canceled = any(each.state == "CANCELING" for each in run.state_history or [])
    return "CANCELED" if canceled and run.state == "FAILED" else str(run.state or "PENDING")


def steps(details: Iterable[V2beta1PipelineTaskDetail], names: Iterable[str]) -> dict[str, Step]:
    """Return the state of each task.

    Kubeflow gives a task two nodes: its driver, which looks into the cache, and the task itself, which has a pod only
    if the driver found nothing there.
    """
    nodes = {detail.display_name: detail for detail in details}
    return {name: _step(name, nodes.get(f"{name}-driver"), nodes.get(name)) for name in names}


def place_of(pod: V1Pod) -> Place | None:
    """Return which task a pod works for, ``None`` for the pods of the run as a whole."""
    match = NODE.search((pod.metadata.annotations or {}).get(NODE_NAME, ""))
    return Place(match["task"], match["driver"] is not None, int(match["attempt"] or 0)) if match else None


def _step(name: str, driver: V2beta1PipelineTaskDetail | None, node: V2beta1PipelineTaskDetail | None) -> Step:
    found = [each for each in (driver, node) if each is not None]
    if not found:
        return Step(name, "waiting")
    if any(each.state == "FAILED" for each in found):
        return Step(name, "failed", _between(found[0].start_time, found[-1].end_time))
    if node is None or node.state in ("RUNNING", "PENDING"):
        return Step(name, "waiting" if node is None else "running")
    if node.state != "SUCCEEDED":  # Kubeflow has no word for what never ran
        return Step(name, "left out")
    took = _between(found[0].start_time, node.end_time)
    # Without a pod, a node ends in the moment in which it starts.
    return Step(name, "cached" if _between(node.start_time, node.end_time) < 1 else "done", took)


def _between(start: datetime | None, end: datetime | None) -> float:
    return max(0.0, (end - start).total_seconds()) if start and end else 0.0
