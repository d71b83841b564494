"""The server as a process: started in a group of its own, watched, and ended with all its children."""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from fettle.errors import ServeError

LOG_LINES = 8
LIBC, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1  # <sys/prctl.h>
PATIENCE = 15.0


class ServerProcess:
    """A running Triton; its output goes to ``log``."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    @property
    def pid(self) -> int:
        """Number of the process, and of its group."""
        return self._process.pid

    def check(self) -> None:
        """Raise :class:`ServeError` with the last words of a server that has died."""
        code = self._process.poll()
        if code is not None:
            raise ServeError(f"Triton has ended with exit code {code}. Its last words:\n{self.last_words()}")

    def last_words(self) -> str:
        """Return the last lines of the log that are not part of a table."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if line.strip() and line[0] not in "+|"][-LOG_LINES:])

    def end(self) -> None:
        """End the server and its children: politely, then for good."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # model processes that outlived their server


def _end_with_parent() -> None:
    """Let the kernel end the server when the thread that started it is gone, even by SIGKILL."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
