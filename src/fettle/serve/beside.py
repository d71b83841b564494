"""``fettle keep``: beside a Triton that somebody else starts, as in a pod, keep it at what is promoted."""

import os
import threading
from collections.abc import Mapping

from fettle.errors import FettleError
from fettle.serve.control import Control
from fettle.serve.health import Health
from fettle.serve.keep import stop_signal
from fettle.serve.keeper import Keeper
from fettle.serve.once import Once
from fettle.storage import Store, open_store


def keep_beside(
    repository: str,
    *,
    endpoint: str,
    token: str = "",
    port: int = 8003,
    every: float = 2.0,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Load in the Triton at ``endpoint`` what its repository says, until SIGINT or SIGTERM.

    Neither a store that is away nor a Triton that starts again ends it: what answers goes on answering, and the rest is
    not ready.

    Args:
        repository: A folder or ``s3://bucket/prefix``; the server's own.
        endpoint: ``host:port`` of the HTTP service; it must run with explicit model control.
        token: Value of the header ``fettle-access`` to which the server restricts model control.
        port: Of :class:`fettle.serve.health.Health`.
        every: Seconds between two looks at the repository and at the models' health.
        environ: Where the AWS variables are read.

    Raises:
        ServeError: If the port is occupied.
    """
    with stop_signal() as stop, Health(port) as health:
        store = _await_store(repository, environ, health, stop, every)
        if store is None:
            return
        keeper = Keeper(Control(endpoint, store, token=token), store)
        trouble = Once()
        while True:
            problem = _look(keeper)
            health.tell(keeper, well=not problem)
            trouble.warn(problem)
            if stop.wait(every):
                return


def _look(keeper: Keeper) -> str:
    """Return what is wrong with the server."""
    try:
        keeper.look()
    except FettleError as error:
        return str(error)
    return ""


def _await_store(
    repository: str, environ: Mapping[str, str], health: Health, stop: threading.Event, every: float
) -> Store | None:
    """Return the store as soon as it can be opened, ``None`` if the end comes first."""
    trouble = Once()
    while True:
        try:
            return open_store(repository, environ=environ)
        except FettleError as error:
            trouble.warn(str(error))
        health.turn()
        if stop.wait(every):
            return None
