"""Keeps a Triton at what its repository says."""

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from fettle.errors import FettleError, ServeError
from fettle.publish.repository import CONFIG, Live, models, read_live
from fettle.serve.once import Once
from fettle.storage import Store

log = logging.getLogger("fettle")
PATIENCE = 30.0  # seconds before what could not be loaded is tried again


class Server(Protocol):
    """A Triton that can be told what to load (see :class:`fettle.serve.control.Control`)."""

    def load(self, model: str) -> str: ...
    def reload(self, model: str) -> str: ...
    def probe(self, model: str) -> str: ...
    def check(self) -> None: ...


class Keeper:
    """Follows promotions and rollbacks, and brings back models that have died.

    Attributes:
        promoted: The version that the repository names, by model.
        versions: The version that answers, by model.
        since: When the repository began to name it, seconds since the epoch, by model.
    """

    def __init__(self, triton: Server, store: Store, only: Sequence[str] = ()) -> None:
        self._triton, self._store, self._only = triton, store, only
        self._tags: dict[str, str] = {}
        self._failed: dict[str, tuple[str, float]] = {}
        self._trouble = Once()
        self._known = False
        self.promoted: dict[str, int] = {}
        self.versions: dict[str, str] = {}
        self.since: dict[str, float] = {}

    @property
    def ready(self) -> bool:
        """Whether every model that is promoted answers, if only with the version before."""
        return self._known and set(self.promoted) <= set(self.versions)

    def start(self) -> None:
        """Load all models.

        Raises:
            ServeError: If there is none, or one does not answer.
        """
        promoted = models(self._store)
        for name in self._only or promoted:
            if name not in promoted:
                raise ServeError(f"{self._store.url} has no promoted model {name!r}: it has {promoted or 'none'}.")
            if live := read_live(self._store, name):
                self._load(name, live)
        if not self.versions:
            raise ServeError(f"{self._store.url} has no promoted model: run `fettle run` or `fettle promote` first.")

    def look(self) -> None:
        """Load what was promoted or rolled back since, and bring back a model whose process has died.

        A promotion that cannot be loaded, or a store that cannot be read, is told and leaves the old version up.

        Raises:
            ServeError: If Triton itself has died, or a model cannot be brought back.
        """
        try:
            for name in self._only or models(self._store):
                self._follow(name)
            self._known = True
        except FettleError as error:
            self._trouble.warn(str(error))
        for name in tuple(self.versions):
            self._revive(name)

    def _follow(self, name: str) -> None:
        live = read_live(self._store, name)
        if live is None or self._is_served(name, live):
            return
        failed, when = self._failed.get(name, ("", 0.0))
        if live.tag == failed and time.monotonic() < when + PATIENCE:
            return
        try:
            self._load(name, live)
        except FettleError as error:
            self._failed[name] = (live.tag, time.monotonic())
            self._triton.check()
            self._trouble.warn(str(error))

    def _is_served(self, name: str, live: Live) -> bool:
        """Tell whether what is live was loaded, and answered.

        The tag alone is no proof: a rollback brings the text, and so the tag, of before back, and between a look and
        its load a promotion may have come.
        """
        return live.tag == self._tags.get(name) and self.versions.get(name) == str(live.version)

    def _load(self, name: str, live: Live) -> None:
        self.promoted[name] = live.version
        self.since[name] = self._store.modified(f"{name}/{CONFIG}")
        self.versions[name] = self._triton.load(name)
        self._tags[name] = live.tag
        log.info("%s version %s answers", name, self.versions[name])

    def _revive(self, name: str) -> None:
        try:
            self._triton.probe(name)
        except ServeError as error:
            self._triton.check()
            log.warning("%s It is loaded again.", error)
            del self.versions[name]
            self.versions[name] = self._triton.reload(name)
