"""What is timed: an export in a process of its own, or any callable in this one."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fettle import errors
from fettle.errors import ServeError


@dataclass(frozen=True)
class CallableContestant:
    """A function of (N, S, S, 3) uint8 images, such as an eager PyTorch model, in this process."""

    function: Callable[[np.ndarray], object]
    images: np.ndarray

    def run(self, batch: int, calls: int) -> Sequence[float]:
        return timed(self.function, self.images[:batch], calls)


def timed(function: Callable[[np.ndarray], object], images: np.ndarray, calls: int) -> list[float]:
    """Call once untimed, for the caches that others have filled, then ``calls`` times; return seconds."""
    function(images)
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        function(images)
        seconds.append(time.perf_counter() - start)
    return seconds


class EngineContestant:
    """An export in a fresh process: its memory, load time and thread pool are its own.

    In one process runtimes disturb each other: OpenVINO's call after one of ONNX Runtime, whose idle threads spin,
    took 1.65 times as long as after one of its own (measured on 2 busy cores); in processes of their own, with one
    untimed call ahead, there was no difference.

    Attributes:
        facts: ``load_ms``, ``memory_mb`` and ``arithmetic``, as last told by the process.
    """

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        self._name = name
        self._process = process
        self.facts = self._answer()

    def run(self, batch: int, calls: int) -> Sequence[float]:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # the answer tells that the process is gone
            print(json.dumps({"batch": batch, "calls": calls}), file=self._process.stdin, flush=True)
        answer = self._answer()
        self.facts["memory_mb"] = answer["memory_mb"]
        seconds: list[float] = answer["seconds"]
        return seconds

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise ServeError(
                f"The process that measured {self._name} ended with {self._process.wait()}: "
                "probably out of memory, measure fewer candidates or a smaller batch."
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        return answer


@contextlib.contextmanager
def open_contestant(
    name: str, *, runtime: str, file: Path, images: Path, threads: int, options: Mapping[str, str]
) -> Iterator[EngineContestant]:
    """Load an export in a process of its own, ended with the context.

    Args:
        name: Candidate, for messages.
        runtime: Its runtime.
        file: Model file.
        images: ``.npy`` file of uint8 images, at least as many as the largest batch.
        threads: Threads, and cores that the process is pinned to.
        options: Parameters of the runtime.

    Raises:
        FettleError: What :func:`fettle.runtimes.open_engine` raises.
    """
    job = {"runtime": runtime, "file": str(file), "images": str(images), "threads": threads, "options": dict(options)}
    command = [sys.executable, "-m", "fettle.evaluate.worker", json.dumps(job)]
    # A session of its own: Ctrl-C is for us, who end the process, and not for it, which would print a traceback.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield EngineContestant(name, process)
    finally:
        process.kill()
        process.communicate()
