"""One machine of several that run a step together: ``python -m fettle.train.node URL``, as a TrainJob starts it.

The machines share a store and nothing else: at the URL lie the job, in the end its artifact, or why it failed.
"""

import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fettle.errors import FettleError
from fettle.storage import ConflictError, Store, kept_folder, open_store
from fettle.train.launch import as_text, launch, raised
from fettle.train.result import InterruptionError

MODULE = "fettle.train.node"
JOB, OUT, DONE, ERROR = "job.json", "out", "done.json", "error.json"


@dataclass(frozen=True)
class Job:
    """A step, and where the machines find what it takes.

    Attributes:
        step: Its name.
        settings: Its settings, as JSON.
        inputs: Role -> URL of the artifact.
        work: Root and name of the folder that outlives the machines (:func:`fettle.storage.kept_folder`), if any.
    """

    step: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    work: Mapping[str, str] = field(default_factory=dict)

    def write(self, store: Store) -> None:
        store.write(JOB, json.dumps(asdict(self)).encode())


def take_part(url: str) -> None:
    """Run the job at ``url`` on this machine, which the environment of torchrun tells its place among the others.

    Raises:
        FettleError: What the step raised; it is written to the store too.
    """
    store = open_store(url)
    job = Job(**json.loads(store.read(JOB)))
    with tempfile.TemporaryDirectory(prefix="fettle-") as scratch:
        folder = Path(scratch)
        try:
            inputs = {role: _fetch(place, folder / role) for role, place in job.inputs.items()}
            with _work(job, folder) as work:
                launch(job.step, folder / OUT, {**job.settings, **inputs, "work": work}, processes=None)
        except InterruptionError:
            raise  # Kubernetes may start the machines again, who go on
        except FettleError as error:
            with contextlib.suppress(ConflictError):  # the first machine that knows something is right
                store.write_if(ERROR, as_text(error).encode(), tag=None)
            raise
        if (folder / OUT).is_dir():  # the machine of the first process
            store.upload(folder / OUT, OUT)
            store.write(DONE, b"{}")


def outcome(store: Store, out: Path) -> bool:
    """Bring the artifact of a job to ``out`` and return True, or False while there is none.

    Raises:
        FettleError: What ended the job.
    """
    if store.exists(ERROR):
        raise raised(store.read(ERROR))
    if not store.exists(DONE):
        return False
    store.download(OUT, out)
    return True


@contextlib.contextmanager
def _work(job: Job, folder: Path) -> Iterator[Path]:
    """Yield the folder of the checkpoints, which the first machine keeps in the store."""
    if job.work and _is_first():
        with kept_folder(job.work["root"], job.work["name"]) as work:
            yield work
    else:
        yield folder / "work"


def _is_first() -> bool:
    return os.environ.get("PET_NODE_RANK", "0") == "0"


def _fetch(url: str, target: Path) -> Path:
    parent, _, name = url.rstrip("/").rpartition("/")
    open_store(parent).download(name, target)
    return target


def main(url: str) -> int:
    """Take part; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="· %(message)s", stream=sys.stderr, force=True)
    logging.getLogger("fettle").setLevel(logging.INFO)
    try:
        take_part(url)
    except FettleError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the last word of a machine
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
