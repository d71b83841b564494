"""The process that measures one engine: ``python -m fettle.evaluate.worker JOB``.

It answers a line of JSON for each line of JSON. Whatever a runtime prints goes to stderr.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import psutil

from fettle.errors import FettleError
from fettle.evaluate.contestants import timed
from fettle.runtimes import ENGINES, Engine, open_engine


def main(job: dict[str, Any], requests: TextIO, answers: TextIO) -> None:
    """Load the engine, then time what is asked for until the requests end."""
    try:
        _serve(job, requests, answers)
    except FettleError as error:
        _tell(answers, error=type(error).__name__, message=str(error))


def _serve(job: dict[str, Any], requests: TextIO, answers: TextIO) -> None:
    pin(job["threads"])
    images = np.load(job["images"])
    _import_runtime(job["runtime"])
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    engine = _open(job)
    engine(images[:1])
    _tell(answers, load_ms=(time.perf_counter() - start) * 1e3, arithmetic=engine.precision, memory_mb=0.0)
    for line in requests:
        request = json.loads(line)
        seconds = timed(engine, images[: request["batch"]], request["calls"])
        _tell(answers, seconds=seconds, memory_mb=(peak_memory() - before) / 1e6)


def pin(threads: int) -> None:
    """Keep this process on its first ``threads`` cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes.

    ``ru_maxrss`` would do, but on Linux a new process inherits its parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)


def _import_runtime(runtime: str) -> None:
    """Import ahead of the clock; what cannot be imported is told by ``open_engine`` in better words."""
    try:
        importlib.import_module(ENGINES[runtime].partition(":")[0])
    except (ImportError, KeyError):
        return


def _open(job: dict[str, Any]) -> Engine:
    return open_engine(job["runtime"], Path(job["file"]), threads=job["threads"], options=job["options"])


def _tell(answers: TextIO, **answer: object) -> None:
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(json.loads(sys.argv[1]), sys.stdin, answers)
