"""Follow a run to its end: a line a step, and the reason where it fails or cannot start."""

import re
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from kubernetes.client import V1Pod

from components.cluster.kube import ClusterError, Kube
from components.cluster.reasons import NODE_COMES, Wait, failed, waits
from fettle.errors import FettleError, HardwareError
from pipelines.cluster.narrate import Teller
from pipelines.cluster.progress import ENDED, RUN_ENDED, Place, Step, place_of, run_state, steps, task_names
from pipelines.cluster.service import Service
from pipelines.local import RunError

POLL = 5.0  # seconds
PATIENCE = 30.0  # seconds that a pod may be stuck for a reason that nothing changes
LOST = 120.0  # seconds without an answer of the server, after which following ends
TOLD = "· "  # how a line begins that a step means for the reader
OVER = "~"  # later than any time
TAIL = 15  # lines of a failed step's log that are shown
# What Kubeflow's launcher and Argo write into a step's log.
PLUMBING = re.compile(r"^([IWEF]\d{4} |time=\S+ level=|Error: exit status|\[KFP Executor )")
T = TypeVar("T")
FATAL = re.compile(r"^F\d{4} .*?\] ")


@dataclass
class Follower:
    """One run, looked at again and again.

    Attributes:
        service: Kubeflow's API.
        run_id: The run.
        teller: Says what happens.
        kube: Where its pods are, which know the reasons.
        cached: Tasks that must come from the cache: a run in which one does not is ended.
    """

    service: Service
    run_id: str
    teller: Teller
    kube: Kube
    cached: Container[str] = ()
    _stuck: dict[str, float] = field(default_factory=dict)  # pod -> since when
    _told: set[str] = field(default_factory=set)  # pods whose trouble is said
    _names: tuple[str, ...] = ()
    _heard: dict[str, str] = field(default_factory=dict)  # pod -> time of the last of its lines

    def follow(self) -> Mapping[str, Step]:
        """Return the steps of the run once it has succeeded.

        Raises:
            RunError: If a step failed, or cannot start; the text says which, and why. If the run was deleted.
            HardwareError: If a step fits on no node.
            ClusterError: If the server has not answered for minutes.
        """
        state = ""
        found: Mapping[str, Step] = {}
        while state not in RUN_ENDED:
            state, found = self._look()
            self.teller.show(found, over=False)
            pods = self._pods()
            self._listen(pods)
            self.teller.show(found, over=True)
            self._check(pods)
            if state not in RUN_ENDED:
                if not pods and not self.kube.has_workflow(self._selector):  # its pods go with it
                    raise RunError(f"Run {self.run_id} was deleted before its end: nothing works on it any more.")
                time.sleep(POLL)
        if state != "SUCCEEDED":
            raise self._failure(state, found, self._pods())
        return self._settled(found)

    def _settled(self, found: Mapping[str, Step]) -> Mapping[str, Step]:
        """Return the steps once all have ended: Kubeflow may know it of the run before it knows it of its last task."""
        deadline = time.monotonic() + PATIENCE
        while any(step.state not in ENDED for step in found.values()) and time.monotonic() < deadline:
            time.sleep(1)
            _, found = self._look()
            self.teller.show(found, over=True)
        return found

    def _look(self) -> tuple[str, Mapping[str, Step]]:
        run = _again(lambda: self.service.run(self.run_id), self.teller)
        details = (run.run_details.task_details if run.run_details else None) or []
        self._names = self._names or task_names(run)
        return run_state(run), steps(details, self._names)

    def _pods(self) -> list[V1Pod]:
        return _again(lambda: self.kube.pods(self._selector), self.teller)

    @property
    def _selector(self) -> str:
        return f"pipeline/runid={self.run_id}"

    def _listen(self, pods: Sequence[V1Pod]) -> None:
        """Say what the steps mean for the reader, each line once."""
        for pod in pods:
            name, place = pod.metadata.name, place_of(pod)
            if place is None or place.driver or self._heard.get(name) == OVER or pod.status.phase == "Pending":
                continue
            for line in self.kube.log(name, lines=200, timestamps=True):
                at, _, text = line.partition(" ")
                if (at := at.removesuffix("Z")) > self._heard.get(name, ""):
                    self._heard[name] = at
                    if text.startswith(TOLD):
                        self.teller.say(place.task, text.removeprefix(TOLD))
            if pod.status.phase != "Running":
                self._heard[name] = OVER

    def _check(self, pods: Sequence[V1Pod]) -> None:
        """Say what keeps pods from starting, and end a run that waits for what will not come."""
        for pod in pods:
            name, place = pod.metadata.name, place_of(pod)
            if place and not place.driver and place.task in self.cached:
                self.service.terminate(self.run_id)
                raise RunError(
                    f"Step {place.task} would be done again: Kubeflow's cache has its result no more. Nothing was "
                    "promoted, the run was terminated; submit the spec again and approve what comes of it."
                )
            if wait := waits(pod):
                self._wait(name, place.task if place else "the run's first pod", wait)
            elif place and place.attempt and name not in self._told:
                self._told.add(name)
                lost = [why for each in pods if _is_before(place, place_of(each)) and (why := failed(each))]
                self.teller.say(place.task, f"{lost[0] if lost else 'its pod was lost'}; it is tried again")

    def _wait(self, pod: str, task: str, wait: Wait) -> None:
        since = self._stuck.setdefault(pod, time.monotonic())
        if time.monotonic() - since < PATIENCE or set(self.kube.events(pod)) & set(NODE_COMES):
            return
        if wait.for_ever:
            self.service.terminate(self.run_id)
            raise (HardwareError if wait.hardware else RunError)(
                f"Step {task} cannot start: {wait.words}. The run was terminated."
            )
        if pod not in self._told:
            self._told.add(pod)
            self.teller.say(task, wait.words)

    def _failure(self, state: str, found: Mapping[str, Step], pods: Sequence[V1Pod]) -> FettleError:
        if state == "CANCELED":
            return RunError(f"Run {self.run_id} was terminated.")
        task = next((step.name for step in found.values() if step.state == "failed"), "")
        mine = [(place, pod) for pod in pods if (place := place_of(pod)) and place.task == task and failed(pod)]
        if not mine:
            return RunError(f"Step {task or 'of the run'} failed; its pod is gone, the log is in Kubeflow's UI.")
        _, pod = max(mine, key=lambda each: (not each[0].driver, each[0].attempt))
        said, error = tidy(self.kube.log(pod.metadata.name, lines=200))
        self.teller.quote(task, said[-TAIL:])
        why = f"it {failed(pod)}."
        # An exit code says nothing that the step's own error does not.
        return RunError(f"Step {task} failed: {error if error and 'exit code' in why else f'{why} {error}'.strip()}")


def _is_before(place: Place, other: Place | None) -> bool:
    return other is not None and (other.task, other.attempt + 1) == (place.task, place.attempt) and not other.driver


def tidy(log: Sequence[str]) -> tuple[list[str], str]:
    """Return what a step itself said in a pod's log, and its last error."""
    said: list[str] = []
    inputs = False  # Kubeflow's executor prints what it was given, over many lines
    for line in log:
        if not inputs and not PLUMBING.match(line):
            said.append(line)
        inputs = line.endswith("Got executor_input:") or (inputs and line != "}")
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    fatal = [FATAL.sub("", line) for line in log if FATAL.match(line)]
    return said, next(iter((*errors[-1:], *fatal[-1:])), "")


def _again(ask: Callable[[], T], teller: Teller) -> T:
    """Ask until there is an answer: a run goes on while its server is restarted, or the way to it is broken."""
    since = time.monotonic()
    while True:
        try:
            return ask()
        except ClusterError as error:
            if time.monotonic() - since > LOST:
                raise
            teller.say("", f"{error} Asking again.")
            time.sleep(POLL)
