"""The journal of a study in a store, so that tasks on many machines share the study."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from optuna.storages.journal import BaseJournalBackend
from typing_extensions import override

from fettle.errors import StorageError
from fettle.storage import ConflictError, Store

T = TypeVar("T")
TRANSFERS = 8  # at once
PATIENCE = 300.0  # seconds that a store may be away
PAUSE = 5.0
log = logging.getLogger("fettle")


class StoreJournal(BaseJournalBackend):
    """Entry n is the object ``<key>/<n>``. Only one writer can create it, so all readers see the same entries in order.

    Args:
        store: That all workers reach.
        key: Of the journal.
        patience: Seconds to wait for a store that is away.

    Raises:
        StorageError: From every method, if the store fails for longer than that.
    """

    def __init__(self, store: Store, key: str, *, patience: float = PATIENCE) -> None:
        self.store, self.key, self.patience = store, key, patience
        self._end = 0  # entries that are known to be there

    @override
    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        if log_number_from == 0:
            self._end = self._patiently(lambda: len(self.store.list(self.key)))
        while True:
            yield from self._read_all(range(log_number_from, self._end))
            log_number_from = self._end
            if not self._patiently(lambda: self.store.exists(self._at(self._end))):
                return
            self._end += 1

    @override
    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        for entry in logs:
            data = json.dumps(entry, separators=(",", ":")).encode()
            while not self._patiently(lambda data=data: self._create(data)):  # type: ignore[misc]
                self._end += 1  # somebody else was faster
            self._end += 1

    def _create(self, data: bytes) -> bool:
        try:
            self.store.write_if(self._at(self._end), data, tag=None)
        except ConflictError:
            if self.store.exists(self._at(self._end)):
                return False
            raise  # two at the same moment, of whom S3 may refuse both
        return True

    def _read_all(self, numbers: range) -> Iterator[dict[str, Any]]:
        if len(numbers) < TRANSFERS:
            yield from map(self._read, numbers)
            return
        with ThreadPoolExecutor(TRANSFERS) as pool:
            yield from pool.map(self._read, numbers)

    def _read(self, number: int) -> dict[str, Any]:
        return dict(json.loads(self._patiently(lambda: self.store.read(self._at(number)))))

    def _at(self, number: int) -> str:
        return f"{self.key}/{number}"

    def _patiently(self, do: Callable[[], T]) -> T:
        """Do it again while the store is away."""
        deadline, is_said = time.monotonic() + self.patience, False
        while True:
            try:
                return do()
            except StorageError as error:
                if time.monotonic() > deadline:
                    raise
                if not is_said:
                    log.warning("%s: waiting for it, up to %.0f s", str(error).rstrip("."), self.patience)
                is_said = True
            time.sleep(min(PAUSE, self.patience))
