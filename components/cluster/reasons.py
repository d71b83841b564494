"""Why a pod does not start, and why it failed, in words: from its status alone."""

import re
from dataclasses import dataclass

from kubernetes.client import V1ContainerStatus, V1Pod

MAIN = "main"  # the container of a step of a pipeline
# Containers that Kubernetes tries again for ever, though nothing changes by itself.
STUCK = {
    "ErrImagePull": "its image {image} cannot be pulled",
    "ImagePullBackOff": "its image {image} cannot be pulled",
    "ErrImageNeverPull": "its image {image} is not on the node, and may not be pulled",
    "InvalidImageName": "its image {image} has no valid name",
    "CreateContainerConfigError": "it refers to a Secret or ConfigMap that is not there",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be started",
}
ENDED = {
    "Evicted": "was evicted from its node",
    "DeadlineExceeded": "ran longer than cluster.steps.*.timeout_minutes allows",
    "NodeLost": "was lost with its node",
    "Preempting": "made way for a pod of higher priority",
    "Terminated": "was ended while its node shut down",
}
NOWHERE = re.compile(r"preemption: 0/(?P<all>\d+) nodes are available: (?P<never>\d+) Preemption is not helpful")
# Events by which an autoscaler says that a node is on its way.
NODE_COMES = ("TriggeredScaleUp", "Nominated")


@dataclass(frozen=True)
class Wait:
    """Why a pod does not start.

    Attributes:
        words: The reason.
        for_ever: Nothing that runs now will change it.
        hardware: It is for want of a node.
    """

    words: str
    for_ever: bool
    hardware: bool = False


def waits(pod: V1Pod, *, main: str = MAIN) -> Wait | None:
    """Return why a pod has not started, ``None`` for one that has, or is about to.

    Args:
        pod: As the API gives it.
        main: Name of the container that matters.
    """
    if pod.status.phase != "Pending":
        return None
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            if condition.reason == "Unschedulable":
                return _unschedulable(pod, condition.message or "")
            return Wait(f"is not let onto a node yet ({condition.reason}: {_short(condition.message)})", for_ever=False)
    for container in _containers(pod, main):
        if (waiting := container.state.waiting) and (waiting.reason in STUCK or waiting.message):
            words = STUCK.get(waiting.reason, "its container does not start").format(image=container.image)
            return Wait(f"{words} ({waiting.reason}: {_short(waiting.message)})", for_ever=waiting.reason in STUCK)
    return None


def failed(pod: V1Pod, *, main: str = MAIN) -> str | None:
    """Return why a pod failed, ``None`` for one that did not.

    Args:
        pod: As the API gives it.
        main: Name of the container that matters.
    """
    status = pod.status
    ends = [container.state.terminated for container in _containers(pod, main) if container.state.terminated]
    if any(end.reason == "OOMKilled" for end in ends):
        return f"ran out of memory (OOMKilled{_limit(pod, main)})"
    if status.phase != "Failed":
        return None
    if words := ENDED.get(status.reason):
        return f"{words} ({status.reason}: {_short(status.message)})"
    for condition in status.conditions or []:
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return f"was taken off its node ({condition.reason}: {_short(condition.message)})"
    if status.reason:
        return f"was ended ({status.reason}: {_short(status.message)})"
    code = next((end.exit_code for end in ends if end.exit_code), None)
    return f"ended with exit code {code}" if code else _short(status.message) or "failed"


def _unschedulable(pod: V1Pod, message: str) -> Wait:
    why = message.partition(". ")[0].rstrip(".")
    match = NOWHERE.search(message)
    never = (match is not None and match["all"] == match["never"]) or "no nodes available" in message
    wants = [
        f"{count} {name}"
        for container in pod.spec.containers
        for name, count in ((container.resources and container.resources.limits) or {}).items()
        if "/" in name
    ]
    asked = f"asks for {', '.join(wants)}; " if wants else ""
    words = "fits on no node of this cluster" if never else "waits for room"
    return Wait(f"{words} ({asked}{why})", for_ever=never, hardware=never)


def _containers(pod: V1Pod, main: str) -> list[V1ContainerStatus]:
    """Return the pod's containers that have a state, ``main`` first."""
    statuses = [*(pod.status.container_statuses or []), *(pod.status.init_container_statuses or [])]
    return sorted((each for each in statuses if each.state), key=lambda each: each.name != main)


def _limit(pod: V1Pod, main: str) -> str:
    for container in pod.spec.containers:
        limits = (container.resources and container.resources.limits) or {}
        if container.name == main and "memory" in limits:
            return f", limit {limits['memory']}"
    return ", the node's memory is full"


def _short(text: str | None) -> str:
    words = " ".join((text or "").split())
    return words if len(words) <= 160 else f"{words[:157]}..."
