"""Run a step: here, or, where its pod was told so (``FETTLE_TRAINJOB``), on several machines."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.cluster.addresses import in_store
from fettle import steps
from fettle.card import digest_json
from fettle.errors import ArtifactError, FettleError, StorageError
from fettle.storage import Store, open_store

if TYPE_CHECKING:
    from components.trainjob.jobs import TrainJobs

GONE = 120.0  # seconds in which a TrainJob that was deleted has to go
VARIABLE = "FETTLE_TRAINJOB"


def run(step: str, out: str, inputs: Mapping[str, Any], **settings: Any) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Run ``step`` as :func:`fettle.steps.run` does.

    Args:
        step: Its name.
        out: Where the artifact is wanted.
        inputs: Role -> Kubeflow's artifact, or ``None``.
        **settings: JSON values or text.
    """
    given = {role: artifact for role, artifact in inputs.items() if artifact}
    asked = os.environ.get(VARIABLE)
    elsewhere = None
    if asked:
        elsewhere = Elsewhere(asked, {role: artifact.uri for role, artifact in given.items()})
    return steps.run(step, out, elsewhere=elsewhere, **{role: each.path for role, each in given.items()}, **settings)


@dataclass(frozen=True)
class Elsewhere:
    """Several machines, as what runs a step.

    Attributes:
        asked: :class:`components.trainjob.manifest.Machines` as text.
        urls: Role -> where the artifact lies in the store.
        trainjobs: Where they are; by default those of the namespace that this process is a pod of.
    """

    asked: str
    urls: Mapping[str, str]
    trainjobs: "TrainJobs | None" = None

    def __call__(self, step: str, out: Path, given: Mapping[str, Any], *, identity: str) -> None:
        """Run ``step`` with the settings among ``given``; attempts at the same work have the same ``identity``."""
        from components.trainjob.follow import Follower
        from components.trainjob.jobs import here
        from components.trainjob.manifest import Machines, manifest
        from fettle.train import node

        machines, trainjobs = Machines.from_text(self.asked), self.trainjobs or here()
        launcher = trainjobs.launcher()
        name = f"{step}-{digest_json([launcher.run if launcher else '', identity])[7:19]}"
        root = os.environ.get("FETTLE_WORK")
        job = node.Job(
            step,
            settings={key: value for key, value in given.items() if key not in self.urls},
            inputs={role: shared(url) for role, url in self.urls.items()},
            work={"root": root, "name": identity} if root else {},
        )
        url = f"{machines.jobs}/{name}"
        jobs, store = open_store(machines.jobs), open_store(url)
        command = ["python", "-m", node.MODULE, url]
        with forgotten_after(jobs, name), removed_after(trainjobs, name):
            if not is_going_on(trainjobs, name):
                jobs.delete(name)
                job.write(store)
                trainjobs.create(manifest(machines, name=name, command=command, launcher=launcher))
            Follower(trainjobs, name, lambda: node.outcome(store, out), sys.stderr).follow()


def shared(url: str) -> str:
    """Return the address of an artifact by which each machine finds it.

    Raises:
        ArtifactError: If it is in no S3 store.
    """
    if address := in_store(url):
        return address
    raise ArtifactError(f"{url} is in no S3 store, through which several machines get it: set `nodes` to 1.")


def is_going_on(trainjobs: "TrainJobs", name: str) -> bool:
    """Tell whether an earlier attempt's TrainJob still trains; one that does not is removed."""
    from components.trainjob.follow import ended

    found = trainjobs.find(name)
    if found is None:
        return False
    if not found["metadata"].get("deletionTimestamp") and not ended(found):
        print(f"· going on with TrainJob {name} of an earlier attempt", file=sys.stderr)  # noqa: T201 - a step's log
        return True
    trainjobs.delete(name)
    deadline = time.monotonic() + GONE
    while trainjobs.find(name) or trainjobs.pods(name):
        if time.monotonic() > deadline:
            raise FettleError(f"TrainJob {name} of an earlier attempt does not go: delete it.")
        time.sleep(2)
    return False


@contextlib.contextmanager
def forgotten_after(jobs: Store, name: str) -> Iterator[None]:
    """Delete what the machines shared in the end, if the store is there."""
    try:
        yield
    finally:
        with contextlib.suppress(StorageError):
            jobs.delete(name)


@contextlib.contextmanager
def removed_after(trainjobs: "TrainJobs", name: str) -> Iterator[None]:
    """Delete a TrainJob in the end, and when this pod is told to go."""
    from fettle.train.result import InterruptionError

    def stop(*_: object) -> None:
        raise InterruptionError(f"The step was told to end, and TrainJob {name} with it.")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        trainjobs.delete(name)
