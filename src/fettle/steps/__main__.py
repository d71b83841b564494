"""One of the processes that share a step: ``torchrun ... --module fettle.steps JOB`` (:mod:`fettle.train.launch`)."""

import ctypes
import json
import logging
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

from pydantic import validate_call

from fettle.errors import FettleError
from fettle.train.launch import record

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def main(job: Path, *, rank: int) -> int:
    """Run the step of a job file as process ``rank``; the first one writes the artifact, and tells of it.

    Args:
        job: JSON: ``step``, ``out`` and ``arguments``.
        rank: Among all processes.

    Returns:
        The exit code.
    """
    logging.basicConfig(level=logging.WARNING, format="· %(message)s", stream=sys.stderr, force=True)
    logging.getLogger("fettle").setLevel(logging.ERROR if rank else logging.INFO)
    given = json.loads(job.read_text())
    try:
        function = getattr(import_module(f"fettle.steps.{given['step']}"), given["step"])
        validate_call(function)(out=Path(given["out"]), **given["arguments"])
    except FettleError as error:
        record(job, error, rank=rank)
        return error.exit_code
    return 0


def end_with_parent() -> None:
    """Be told to stop when the agent that started this process is no more: a second attempt wants the device."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(Path(sys.argv[1]), rank=int(os.environ["RANK"])))
