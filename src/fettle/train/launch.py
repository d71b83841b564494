"""Start the processes that train together, with torchrun's agent, and wait for them."""

import contextlib
import json
import logging
import os
import signal
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import distributed
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, determine_local_world_size, get_args_parser

from fettle.errors import FettleError
from fettle.hardware import passport
from fettle.train.result import DivergedError, InterruptionError

MODULE = "fettle.steps"  # what each process runs
JOB, TROUBLE = "job.json", "trouble-{rank}.json"
KINDS = {kind.__name__: kind for kind in (*FettleError.__subclasses__(), DivergedError, InterruptionError)}


def is_launched() -> bool:
    """Tell whether this is one of the processes."""
    return distributed.is_torchelastic_launched()


def launch(step: str, out: Path, arguments: Mapping[str, Any], *, processes: int | None) -> None:
    """Run a step in several processes; the first one writes the artifact.

    Args:
        step: Name of the step.
        out: Where the artifact is wanted.
        arguments: Its other arguments, such as JSON can hold; those that are ``None`` are left out.
        processes: How many, on this machine. ``None``: as the environment of torchrun (``PET_NNODES`` and so on) says,
            on this and other machines.

    Raises:
        FettleError: What one of the processes raised.
        InterruptionError: If one of them was killed, or told to stop.
    """
    with tempfile.TemporaryDirectory(prefix="fettle-") as folder:
        job = Path(folder) / JOB
        given = {name: value for name, value in arguments.items() if value is not None}
        job.write_text(json.dumps({"step": step, "out": str(out), "arguments": given}, default=str))
        here = [] if processes is None else _on_this_machine(processes)
        with _as_it_was():
            try:
                _run([*here, "--module", MODULE, str(job)])
            except SignalException:
                raise _trouble(job.parent) or InterruptionError(
                    "Training was interrupted. Run the same command again to go on."
                ) from None
            except ChildFailedError as error:
                rank, failure = error.get_first_failure()
                raise _trouble(job.parent) or InterruptionError(
                    f"Process {rank} of the training ended with exit code {failure.exitcode}; the log says why."
                ) from None


def record(job: Path, error: FettleError, *, rank: int) -> None:
    """Leave word of what ended a process for the one that launched it."""
    (job.parent / TROUBLE.format(rank=rank)).write_text(as_text(error))


def as_text(error: FettleError) -> str:
    """Return what :func:`raised` makes the error of again."""
    return json.dumps({"kind": type(error).__name__, "message": str(error)})


def raised(text: str | bytes) -> FettleError:
    """Return the error of another process."""
    word = json.loads(text)
    kind: type[FettleError] = KINDS.get(word["kind"], FettleError)
    return kind(word["message"])


def _run(options: list[str]) -> None:
    given = get_args_parser().parse_args(options)
    processes = determine_local_world_size(given.nproc_per_node)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(passport().cores // processes, 1)))
    config, command, arguments = config_from_args(given)
    elastic_launch(config=config, entrypoint=command)(*arguments)


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Restore what the agent changes in its own process: handlers of signals, the environment."""
    environ = dict(os.environ)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)}
    log = logging.getLogger("torch.distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what ended a process is said by the error
    logging.getLogger("torchelastic-events-null").propagate = False
    try:
        yield
    finally:
        log.setLevel(level)
        os.environ.clear()
        os.environ.update(environ)
        if threading.current_thread() is threading.main_thread():
            for each, handler in handlers.items():
                signal.signal(each, handler)


def _on_this_machine(processes: int) -> list[str]:
    return [
        "--nnodes=1", f"--nproc-per-node={processes}", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0",
        f"--rdzv-id={uuid.uuid4()}", "--local-addr=localhost",
    ]  # fmt: skip


def _trouble(folder: Path) -> FettleError | None:
    for file in sorted(folder.glob(TROUBLE.format(rank="*"))):
        return raised(file.read_text())
    return None
