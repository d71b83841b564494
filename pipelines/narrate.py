"""Say what a local run does: one line a task, its own messages below, and nothing of the plumbing."""

import logging
import re
import sys
import time
from types import TracebackType
from typing import Self, TextIO

ANSI = re.compile(r"\x1b\[[0-9;]*m")
STARTED = re.compile(r"Executing task '(?P<task>[^']+)'")
ENDED = re.compile(r"Task '(?P<task>[^']+)' finished with status (?P<status>\w+)")
CACHED = re.compile(r"Task (?P<task>\S+) cache hit")
INDENT = "    "  # of what a task prints
TOLD = ("· ", "error: ")  # how lines begin that a step means for the reader


class Narrator(logging.Handler):
    """Stands in for ``sys.stdout`` and listens to the root logger while ``kfp.local`` runs.

    Kubeflow logs the start and end of a task to stdout and streams what the task prints, indented; a cache hit it
    logs to the root logger alone.

    Attributes:
        failure: Name and last error line of the task that failed, or ``None``.
    """

    def __init__(self, stream: TextIO, *, total: int, verbose: bool) -> None:
        super().__init__(logging.INFO)
        self.stream, self.total, self.verbose = stream, total, verbose
        self.failure: str | None = None
        self._count, self._line, self._error, self._start = 0, "", "", 0.0
        self._bold, self._dim, self._off = styles(stream)

    def __enter__(self) -> Self:
        self._stdout, sys.stdout = sys.stdout, self
        root = logging.getLogger()
        self._root = (root.handlers[:], root.level)
        root.handlers[:] = [self]
        root.setLevel(logging.INFO)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout = self._stdout
        logging.getLogger().handlers[:], level = self._root
        logging.getLogger().setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        if hit := CACHED.match(record.getMessage()):
            self._head(hit["task"], "from the cache")

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._tell(ANSI.sub("", line))
        return len(text)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return False

    def _tell(self, line: str) -> None:
        if started := STARTED.search(line):
            self._start, self._error = time.monotonic(), ""
            self._head(started["task"])
        elif ended := ENDED.search(line):
            took = f"{time.monotonic() - self._start:.1f} s"
            if ended["status"] == "SUCCESS":
                self._say(f"{INDENT}{self._dim}{took}{self._off}")
            else:
                self.failure = f"Task {ended['task']} failed after {took}. {self._error}".strip()
        elif line.strip():
            told = line.strip().startswith(TOLD)
            self._error = line.strip().removeprefix("error: ")
            if told or self.verbose:
                self._say(f"{self._dim}{line.replace('· ', '', 1) if told else line}{self._off}")

    def _head(self, task: str, note: str = "") -> None:
        self._count += 1
        tail = f"  {self._dim}{note}{self._off}" if note else ""
        self._say(f"{self._dim}[{self._count:>2}/{self.total}]{self._off} {self._bold}{task}{self._off}{tail}")

    def _say(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()


def styles(stream: TextIO) -> tuple[str, str, str]:
    """Return what makes text bold, dim, and plain again; nothing where that is not wanted."""
    import os

    wanted = stream.isatty() and not os.environ.get("NO_COLOR")
    return ("\x1b[1m", "\x1b[2m", "\x1b[0m") if wanted else ("", "", "")
