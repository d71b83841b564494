"""``fettle serve``: a Triton that serves what is promoted, for as long as it is wanted."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from fettle.serve.keeper import Keeper
from fettle.serve.triton import LocalTriton
from fettle.storage import open_store


def keep_serving(
    repository: str,
    *,
    only: Sequence[str] = (),
    http_port: int | None = 8000,
    grpc_port: int | None = 8001,
    metrics_port: int | None = 8002,
    every: float = 2.0,
    on_ready: Callable[[LocalTriton, Mapping[str, str]], None] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Serve the promoted versions until SIGINT or SIGTERM; follow promotions and rollbacks by themselves.

    Args:
        repository: A folder or ``s3://bucket/prefix``.
        only: Models to serve; by default all that are promoted.
        http_port: ``None`` takes a free port, here and below.
        grpc_port: See ``http_port``.
        metrics_port: See ``http_port``.
        every: Seconds between two looks at the repository and at the models' health.
        on_ready: Called once all models have answered, with the versions by model.
        environ: Where FETTLE_TRITON and the AWS variables are read.

    Raises:
        ServeError: If nothing is promoted, Triton does not come up, or it dies.
    """
    store = open_store(repository, environ=environ)
    triton = LocalTriton(
        store.url, http_port=http_port, grpc_port=grpc_port, metrics_port=metrics_port, environ=environ
    )
    with stop_signal() as stop, triton:
        keeper = Keeper(triton, store, only)
        keeper.start()
        if on_ready is not None:
            on_ready(triton, keeper.versions)
        while not stop.wait(every):
            keeper.look()


@contextlib.contextmanager
def stop_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set, in place of an exception at any line."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
