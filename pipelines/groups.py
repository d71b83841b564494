"""Which tasks of a plan share a pod.

On a cluster every task costs two pods, about 20 s of a small machine. Tasks that come to nothing without each other
share one: each keeps its own artifact and its own card, so that the lineage is the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from pipelines.plan import Plan, Task

# A step -> the input that decides where it runs, and the steps it may join there. None of them changes what has to be
# done again: a task is joined only where whatever changes the first changes the second, and the second is no dearer.
JOINS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "validate": ("export", ("export", "quantize", "tensorrt", "vote", "pick")),
    "finetune": ("model", ("prune",)),
    "promote": ("selection", ("select",)),
    "report": ("confirmation", ("confirm",)),
}


@dataclass(frozen=True)
class Group:
    """Tasks that run one after the other in one pod."""

    name: str
    tasks: tuple[Task, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Tasks of other groups whose artifacts it takes."""
        own = {task.name for task in self.tasks}
        return tuple(dict.fromkeys(each for task in self.tasks for each in task.sources if each not in own))


def group(plan: Plan, may_share: Callable[[Task, Task], bool]) -> tuple[Group, ...]:
    """Return the tasks of ``plan`` in groups, in an order that respects their inputs.

    Args:
        plan: The tasks.
        may_share: Whether two tasks can run in the same pod.
    """
    heads: dict[str, str] = {}  # task -> the first of its group
    for task in plan.tasks:
        host = _host(task, plan)
        heads[task.name] = heads[host.name] if host and may_share(host, task) else task.name
    members: dict[str, list[Task]] = {}
    for task in plan.tasks:
        members.setdefault(heads[task.name], []).append(task)
    before = {
        head: {heads[each] for task in tasks for each in task.sources} - {head} for head, tasks in members.items()
    }
    return tuple(Group(_name(members[head]), tuple(members[head])) for head in TopologicalSorter(before).static_order())


def _host(task: Task, plan: Plan) -> Task | None:
    """Return the task whose pod ``task`` may join; what a person approved is promoted when the rest is long done."""
    if "approval" in task.settings:
        return None
    role, steps = JOINS.get(task.step, ("", ()))
    inputs = {name: source for name, source in task.inputs.items() if isinstance(source, str)}
    for sources in task.inputs.values():
        inputs |= sources if isinstance(sources, Mapping) else {}
    host = plan.task(inputs[role]) if role in inputs else None
    return host if host and host.step in steps else None


def _name(tasks: list[Task]) -> str:
    """Return such as ``quantize-and-validate-int8-openvino``."""
    steps = "-and-".join(dict.fromkeys(task.step for task in tasks))
    return steps + tasks[0].name.removeprefix(tasks[0].step)
