"""Who works on a trial: a lock that the kernel drops when its process dies, however it dies."""

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class Claims:
    """Worker locks in a folder that all workers of a study share.

    Args:
        folder: On a file system with POSIX locks.
    """

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
