"""Follow a TrainJob to its end: what its first machine says, what keeps others from starting, why it failed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from kubernetes.client import V1Pod

from components.cluster.kube import ClusterError
from components.cluster.reasons import failed, waits
from components.trainjob.jobs import TrainJobs
from components.trainjob.manifest import NODE
from fettle.errors import TrainError

POLL = 5.0  # seconds
PATIENCE = 30.0  # seconds that a machine may wait before it is said why
LOST = 120.0  # seconds without an answer of the API server, after which following ends
TAIL = 15  # lines of a machine that failed
FIRST = ("batch.kubernetes.io/job-completion-index", "0")  # label of the first machine's pod


@dataclass
class Follower:
    """One TrainJob.

    Attributes:
        jobs: Where it is.
        name: Its name.
        has_made: Takes what the machines made; False while they have made nothing.
        log: Where is said what happens.
    """

    jobs: TrainJobs
    name: str
    has_made: Callable[[], bool]
    log: TextIO
    _said: dict[str, int] = field(default_factory=dict)  # pod -> lines that were passed on
    _waits: dict[tuple[str, bool], float] = field(default_factory=dict)  # pod, whether for ever -> since when
    _told: set[tuple[str, str]] = field(default_factory=set)

    def follow(self) -> None:
        """Return when the machines have made what they should.

        Raises:
            FettleError: What ended them, as they say it.
            TrainError: If a machine failed or can never start, or the TrainJob was deleted.
            ClusterError: If the API server has not answered for minutes.
        """
        answered = time.monotonic()
        while True:
            try:
                found, pods = self.jobs.find(self.name), self.jobs.pods(self.name)
                answered = time.monotonic()
            except ClusterError:
                if time.monotonic() - answered > LOST:
                    raise
                time.sleep(POLL)
                continue
            self._pass_on(pods)
            if self.has_made():
                return
            if found is None:
                raise TrainError(f"TrainJob {self.name} was deleted by somebody: run the step again.")
            if why := ended(found):
                raise self._failure(why, pods)
            self._check_waits(pods)
            time.sleep(POLL)

    def _pass_on(self, pods: list[V1Pod]) -> None:
        for pod in pods:
            if (pod.metadata.labels or {}).get(FIRST[0]) == FIRST[1] and pod.status.phase != "Pending":
                lines = self.jobs.log(pod.metadata.name)
                self._say(*lines[self._said.get(pod.metadata.name, 0) :])
                self._said[pod.metadata.name] = len(lines)

    def _check_waits(self, pods: list[V1Pod]) -> None:
        """Say what keeps machines from starting, and end what waits for what will not come."""
        for pod in pods:
            name, wait = pod.metadata.name, waits(pod, main=NODE)
            if not wait:
                continue
            since = self._waits.setdefault((name, wait.for_ever), time.monotonic())
            if time.monotonic() - since < PATIENCE:
                continue
            if wait.for_ever and not wait.hardware:  # nodes may be on their way: a step may not read the events
                raise TrainError(f"TrainJob {self.name} cannot start. {name}: {wait.words}.")
            if (name, wait.words) not in self._told:
                self._told.add((name, wait.words))
                self._say(f"· {name}: {wait.words}")

    def _failure(self, why: str, pods: list[V1Pod]) -> TrainError:
        reasons = []
        for pod in pods:
            if reason := failed(pod, main=NODE):
                reasons.append(f"{pod.metadata.name} {reason}")
                if not self._said.get(pod.metadata.name):
                    self._say(f"· last words of {pod.metadata.name}:", *self.jobs.log(pod.metadata.name, lines=TAIL))
        return TrainError(f"TrainJob {self.name} ended without a model ({why}). {'; '.join(reasons)}".strip())

    def _say(self, *lines: str) -> None:
        for line in lines:
            print(line, file=self.log, flush=True)


def ended(job: Mapping[str, Any]) -> str | None:
    """Return how a TrainJob ended, ``None`` for one that has not."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["type"] in ("Failed", "Complete") and condition["status"] == "True":
            return f"{condition['reason']}: {condition.get('message') or condition['type']}"
    return None
