"""Who works on a trial.

On one machine a lock tells, which the kernel drops when its process dies, however it dies. On several, the name does.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Protocol


class Worker(Protocol):
    """A worker among those of a study.

    Attributes:
        name: By which the others know it.
        waits: It stays while others run the last trials, for their workers may die.
    """

    name: str
    waits: bool

    def is_alive(self, name: str) -> bool:
        """Tell whether the worker ``name`` still runs; what a dead one began is taken over."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Be the only worker that looks at the study and takes a trial, where that is possible."""
        ...

    def close(self) -> None:
        """Be a worker no longer."""
        ...


class Named:
    """A task of a pipeline, known by its name, which no two tasks have.

    So what runs under its own name was left by an earlier attempt, and of the others each has a task that is tried
    again by the orchestrator: there is nothing to wait for.
    """

    waits = False

    def __init__(self, name: str) -> None:
        self.name = name

    def is_alive(self, name: str) -> bool:
        return name != self.name

    def exclusive(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        pass


class Claims:
    """Worker locks in a folder that all workers of a study share.

    Args:
        folder: On a file system with POSIX locks.
    """

    waits = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._own = (folder / self.name).open("w")
        fcntl.flock(self._own, fcntl.LOCK_EX)

    def is_alive(self, name: str) -> bool:
        """Tell whether the worker ``name`` still runs."""
        if name == self.name:
            return True
        try:
            with (self.folder / name).open("r") as stream:
                return not _try_lock(stream)
        except FileNotFoundError:
            return False

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be the only worker that looks at the study and takes a trial."""
        with (self.folder / "study").open("w") as stream:
            while not _try_lock(stream):
                time.sleep(0.05)
            yield

    def close(self) -> None:
        (self.folder / self.name).unlink(missing_ok=True)
        self._own.close()


def _try_lock(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
