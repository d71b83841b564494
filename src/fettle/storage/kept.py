"""A folder that outlives its machine: what changes in it is copied to a store, where another attempt finds it.

A file goes to a key of its content, then one small index, written last, names all of them: half a copy is never taken
for a whole one. Whoever fetches a folder writes the index anew, so that an attempt which is not dead yet stops copying.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fettle.errors import StorageError
from fettle.storage.store import ConflictError, Store, check_key, open_store

INDEX = "index.json"
EVERY = 1.0  # seconds between looks at the folder
AWAY = 15.0  # the same, while the store is away
TRIES = 3  # of fetching: the attempt before may still be copying
RANKS = ("RANK", "LOCAL_RANK", "PET_NODE_RANK")  # what Lightning, torchrun and Kubeflow's TrainJob tell a process
Stamps = Mapping[str, tuple[int, int, int]]  # file -> inode, size, time: other ones, other content
log = logging.getLogger("fettle")


@contextlib.contextmanager
def kept_folder(root: str, name: str, *, environ: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """Yield a folder for unfinished work, with what an earlier attempt left there.

    Args:
        root: A folder, which is trusted to outlive us, or ``s3://bucket/prefix``: then the folder is a local one that
            is copied there while the body runs and once more if it fails, and removed from there after it succeeded.
            A store that is away is said, and not an error: the work goes on, without its net.
        name: Of the folder. Attempts at the same work have the same, and other work never has it.
        environ: How the store is reached, see :func:`fettle.storage.open_store`.
    """
    if "://" not in root:
        yield Path(root) / name
        return
    folder = Path(tempfile.gettempdir()) / "fettle-work" / name
    if any(environ.get(rank, "0") != "0" for rank in RANKS):  # of several processes, the first one keeps it
        yield folder
        return
    kept = KeptFolder(folder, name, lambda: open_store(root, environ=environ))
    kept.fetch()
    try:
        with kept.watched():
            yield folder
    except BaseException:
        kept.save()
        raise
    kept.discard()


@dataclass(frozen=True)
class _Copy:
    """Where a file's content is, and what the file was like when it was read."""

    key: str
    stamp: tuple[int, int, int] | None = None


class KeptFolder:
    """A folder and its copy in a store. None of its methods raises for what the store does.

    Args:
        folder: The folder; made by whoever writes into it.
        name: Of the copy in the store.
        reach: Opens the store.
    """

    def __init__(self, folder: Path, name: str, reach: Callable[[], Store]) -> None:
        self.folder, self.name = folder, name
        self._reach = reach
        self._store: Store | None = None
        self._attempt = uuid.uuid4().hex
        self._copies: dict[str, _Copy] = {}
        self._tag: str | None = None  # of the index
        self._is_away = self._is_taken = False

    def fetch(self) -> None:
        """Fill the folder with what the attempt before left, if all of it is there."""
        with self._told("this attempt begins anew"):
            for left in reversed(range(TRIES)):
                try:
                    self._take_over()
                    break
                except StorageError:
                    if not left:
                        raise
                    time.sleep(1)

    def save(self) -> None:
        """Copy what has changed; what is being written now is left to the next time."""
        if self._is_taken:
            return
        with self._told("work goes on, and another attempt would begin anew"), contextlib.suppress(FileNotFoundError):
            stamps = self._look()
            known = {name: copy.stamp for name, copy in self._copies.items()}
            if not stamps or stamps == known:  # an empty folder is one that has served
                return
            changed = [name for name, stamp in stamps.items() if known.get(name) != stamp]
            with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".") as scratch:
                for number, name in enumerate(changed):
                    shutil.copyfile(self.folder / name, Path(scratch) / str(number))
                if self._look() == stamps:
                    self._upload(stamps, {name: Path(scratch) / str(i) for i, name in enumerate(changed)})

    def discard(self) -> None:
        """Remove the folder and its copy: the work is done."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if not self._is_taken:
            with self._told("the work is done, delete what is left of it there"):
                self._open().delete(self.name)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Save again and again, beside the body."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(AWAY if self._is_away else EVERY):
                self.save()

        thread = threading.Thread(target=watch, name=f"keep {self.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _take_over(self) -> None:
        store = self._open()
        self._tag = store.tag(self._key(INDEX))
        if self._tag is None:
            return
        files = self._read_index()
        fresh = self.folder.with_name(f".{self.folder.name}.partial")
        shutil.rmtree(fresh, ignore_errors=True)
        for name, digest in files.items():
            store.download(self._key(digest), fresh / check_key(name))
            if _digest(fresh / name) != digest:
                raise StorageError(f"{store.url}/{self._key(digest)} was altered.")
        shutil.rmtree(self.folder, ignore_errors=True)
        fresh.rename(self.folder)
        stamps = self._look()
        self._publish({name: _Copy(digest, stamps[name]) for name, digest in files.items()})
        log.info("Going on with what an earlier attempt left in %s/%s.", store.url, self.name)

    def _read_index(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._open().read(self._key(INDEX)))["files"])
        except (ValueError, KeyError, TypeError):
            raise StorageError(f"{self._open().url}/{self._key(INDEX)} is no index.") from None

    def _upload(self, stamps: Stamps, changed: Mapping[str, Path]) -> None:
        there = {copy.key for copy in self._copies.values()}
        copies = {name: self._copies[name] for name in stamps if name not in changed}
        for name, file in changed.items():
            copies[name] = _Copy(_digest(file), stamps[name])
            if copies[name].key not in there:
                self._open().upload(file, self._key(copies[name].key))
        self._publish(copies)

    def _publish(self, copies: dict[str, _Copy]) -> None:
        """Write the index, then delete what it names no more."""
        index = {"attempt": self._attempt, "files": {name: copy.key for name, copy in copies.items()}}
        self._tag = self._open().write_if(self._key(INDEX), json.dumps(index).encode(), tag=self._tag)
        old, self._copies = self._copies, copies
        for key in {copy.key for copy in old.values()} - {copy.key for copy in copies.values()}:
            self._open().delete(self._key(key))

    def _look(self) -> Stamps:
        """Return the files of the folder, but for hidden ones: those are not ready."""
        stamps = {}
        for file in self.folder.rglob("*"):
            name = file.relative_to(self.folder)
            if file.is_file() and not any(part.startswith(".") for part in name.parts):
                found = file.stat()
                stamps[name.as_posix()] = (found.st_ino, found.st_size, found.st_mtime_ns)
        return stamps

    def _open(self) -> Store:
        if self._store is None:
            store = self._reach()
            self._tag = store.tag(self._key(INDEX))
            self._store = store
        return self._store

    def _key(self, key: str) -> str:
        return f"{self.name}/{key}"

    @contextlib.contextmanager
    def _told(self, consequence: str) -> Iterator[None]:
        """Say what the store refuses, once."""
        try:
            yield
            self._is_away = False
        except ConflictError:
            self._is_taken = True
            log.warning("Another attempt goes on with this work: what this one does is not kept any more.")
        except (StorageError, OSError) as error:
            if not self._is_away:
                log.warning("%s: %s", str(error).rstrip("."), consequence)
            self._is_away = True


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
