"""``fettle serve``: a Triton that serves what is promoted, for as long as it is wanted."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from fettle.errors import FettleError, ServeError
from fettle.publish.repository import CONFIG, models
from fettle.serve.triton import LocalTriton
from fettle.storage import Store, open_store

log = logging.getLogger("fettle")


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
    with _stop_signal() as stop, triton:
        keeper = Keeper(triton, store, only)
        keeper.start()
        if on_ready is not None:
            on_ready(triton, keeper.versions)
        while not stop.wait(every):
            keeper.look()


class Keeper:
    """Keeps a Triton at what its repository says.

    Attributes:
        versions: The version that answers, by model.
    """

    def __init__(self, triton: LocalTriton, store: Store, only: Sequence[str]) -> None:
        self._triton, self._store, self._only = triton, store, only
        self._tags: dict[str, str | None] = {}
        self.versions: dict[str, str] = {}

    def start(self) -> None:
        """Load all models.

        Raises:
            ServeError: If there is none, or one does not answer.
        """
        promoted = models(self._store)
        for name in self._only or promoted:
            if name not in promoted:
                raise ServeError(f"{self._store.url} has no promoted model {name!r}: it has {promoted or 'none'}.")
            self._load(name)
        if not self.versions:
            raise ServeError(f"{self._store.url} has no promoted model: run `fettle run` or `fettle promote` first.")

    def look(self) -> None:
        """Load what was promoted or rolled back since, and bring back a model whose process has died.

        A promotion that cannot be loaded, or a store that cannot be read, is told and leaves the old version up.

        Raises:
            ServeError: If Triton itself has died, or a model cannot be brought back.
        """
        try:
            wanted = self._only or models(self._store)
            changed = [name for name in wanted if self._tag(name) != self._tags.get(name)]
            for name in changed:
                self._load(name)
        except FettleError as error:
            self._triton.check()
            log.warning("%s", error)
        for name in self.versions:
            self._revive(name)

    def _load(self, name: str) -> None:
        self._tags[name] = self._tag(name)
        self.versions[name] = self._triton.load(name)
        log.info("%s version %s answers", name, self.versions[name])

    def _revive(self, name: str) -> None:
        try:
            self._triton.probe(name)
        except ServeError as error:
            self._triton.check()
            log.warning("%s It is loaded again.", error)
            self.versions[name] = self._triton.reload(name)

    def _tag(self, name: str) -> str | None:
        return self._store.tag(f"{name}/{CONFIG}")


@contextlib.contextmanager
def _stop_signal() -> Iterator[threading.Event]:
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
