"""Pods as the API gives them, and what is said of them."""

import pytest
from kubernetes import client as k8s

from components.cluster.reasons import MAIN, failed, waits

NO_GPU = (
    "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/1 nodes are "
    "available: 1 Preemption is not helpful for scheduling."
)
FULL = (
    "0/2 nodes are available: 2 Insufficient memory. no new claims to deallocate, preemption: 0/2 nodes are available: "
    "1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
)


def pod(phase, *, conditions=(), state=None, limits=None, reason=None, message=None, init=None, main=MAIN):
    statuses = [("wait", None), (main, state)]
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="p"),
        spec=k8s.V1PodSpec(
            containers=[k8s.V1Container(name=main, resources=k8s.V1ResourceRequirements(limits=limits))]
        ),
        status=k8s.V1PodStatus(
            phase=phase,
            reason=reason,
            message=message,
            conditions=list(conditions),
            container_statuses=[status(name, each) for name, each in statuses if each],
            init_container_statuses=[status("init", init)] if init else None,
        ),
    )


def status(name, state):
    return k8s.V1ContainerStatus(
        name=name, image="fettle/step:1", image_id="", ready=False, restart_count=0, state=state
    )


def unschedulable(message):
    return k8s.V1PodCondition(type="PodScheduled", status="False", reason="Unschedulable", message=message)


def waiting(reason, message=""):
    return k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=reason, message=message))


def terminated(code, reason="Error"):
    return k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code, reason=reason))


def test_no_node_will_ever_take_it():
    wait = waits(pod("Pending", conditions=[unschedulable(NO_GPU)], limits={"nvidia.com/gpu": "1", "cpu": "1"}))
    assert wait.for_ever
    assert wait.hardware
    assert wait.words == (
        "fits on no node of this cluster (asks for 1 nvidia.com/gpu; 0/1 nodes are available: 1 Insufficient "
        "nvidia.com/gpu)"
    )


def test_a_node_will_have_room_again():
    wait = waits(pod("Pending", conditions=[unschedulable(FULL)]))
    assert not wait.for_ever
    assert wait.words == "waits for room (0/2 nodes are available: 2 Insufficient memory)"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (
            waiting("ImagePullBackOff", "Back-off"),
            "its image fettle/step:1 cannot be pulled (ImagePullBackOff: Back-off)",
        ),
        (
            waiting("CreateContainerConfigError", 'secret "s" not found'),
            'is not there (CreateContainerConfigError: secret "s"',
        ),
    ],
)
def test_a_container_that_cannot_start_is_stuck(state, words):
    for given in (pod("Pending", state=state), pod("Pending", init=state)):
        wait = waits(given)
        assert wait.for_ever
        assert not wait.hardware
        assert words in wait.words


def test_what_may_change_by_itself_is_said_as_such():
    gate = k8s.V1PodCondition(type="PodScheduled", status="False", reason="SchedulingGated", message="its turn comes")
    again = waiting("CrashLoopBackOff", "back-off 10s")
    for given, words in (
        (pod("Pending", conditions=[gate]), "is not let onto a node yet (SchedulingGated: its turn comes)"),
        (pod("Pending", init=again), "its container does not start (CrashLoopBackOff: back-off 10s)"),
    ):
        wait = waits(given)
        assert not wait.for_ever
        assert wait.words == words


def test_the_container_that_matters_may_have_another_name():
    given = pod("Failed", state=terminated(137, "OOMKilled"), limits={"memory": "2Gi"}, main="node")
    assert failed(given, main="node") == "ran out of memory (OOMKilled, limit 2Gi)"
    both = pod("Pending", state=waiting("ErrImagePull", "no such image"), init=waiting("Other", "else"), main="node")
    assert waits(both, main="node").words.startswith("its image fettle/step:1 cannot be pulled (ErrImagePull: no such")


def test_what_is_about_to_start_is_no_trouble():
    assert waits(pod("Pending", state=waiting("ContainerCreating"))) is None
    assert waits(pod("Running")) is None
    assert failed(pod("Running")) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            pod("Failed", state=terminated(137, "OOMKilled"), limits={"memory": "2Gi"}),
            "ran out of memory (OOMKilled, limit 2Gi)",
        ),
        (pod("Failed", state=terminated(1, "OOMKilled")), "ran out of memory (OOMKilled, the node's memory is full)"),
        (
            pod("Failed", reason="Evicted", message="The node was low on resource: memory."),
            "was evicted from its node (Evicted: The node was low",
        ),
        (
            pod("Failed", reason="DeadlineExceeded", message="x", state=terminated(137)),
            "ran longer than cluster.steps.*.timeout_minutes allows",
        ),
        (pod("Failed", state=terminated(3)), "ended with exit code 3"),
        (pod("Failed", message="gone"), "gone"),
        (
            pod("Failed", reason="UnexpectedAdmissionError", message="no device"),
            "was ended (UnexpectedAdmissionError: no device)",
        ),
    ],
)
def test_an_end_has_its_reason(given, words):
    assert words in failed(given)
