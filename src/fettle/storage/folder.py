"""A store in a folder: each object a file, written beside and renamed."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fettle.errors import StorageError
from fettle.storage.store import ConflictError, check_key

PARTIAL = ".partial"
_DIGEST = "sha256:"


class FolderStore:
    """Objects as files below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.url = str(self.root)

    def read(self, key: str) -> bytes:
        with _explained(self._path(key)):
            return self._path(key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        with self._replacing(key) as partial:
            partial.write_bytes(data)

    def tag(self, key: str) -> str | None:
        return self.digest(key) if self.exists(key) else None

    def write_if(self, key: str, data: bytes, *, tag: str | None) -> str:
        with self._locked():
            if self.tag(key) != tag:
                raise ConflictError(f"{self._path(key)} was changed by somebody else in the meantime.")
            self.write(key, data)
        return _DIGEST + hashlib.sha256(data).hexdigest()

    def upload(self, source: Path, key: str) -> None:
        for file, name in walk(source, key):
            with self._replacing(name) as partial:
                shutil.copyfile(file, partial)

    def download(self, key: str, target: Path) -> None:
        source = self._path(key)
        with _explained(source):
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(f".*{PARTIAL}"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def list(self, prefix: str = "") -> tuple[str, ...]:
        folder = self._path(prefix) if prefix else self.root
        files = (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
        return tuple(sorted(file.relative_to(self.root).as_posix() for file in files))

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _explained(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def digest(self, key: str) -> str:
        with _explained(self._path(key)), self._path(key).open("rb") as stream:
            return _DIGEST + hashlib.file_digest(stream, "sha256").hexdigest()

    def modified(self, key: str) -> float:
        with _explained(self._path(key)):
            return self._path(key).stat().st_mtime

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    @contextlib.contextmanager
    def _replacing(self, key: str) -> Iterator[Path]:
        """Yield a file beside the object; when it is filled, it takes the object's place."""
        path = self._path(key)
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
            os.close(handle)
            partial = Path(name)
            try:
                yield partial
                partial.chmod(0o644)
                _flush(partial)
                partial.replace(path)
                _flush(path.parent)
            finally:
                partial.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock; the kernel lets go of it when its holder dies."""
        with _explained(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / ".lock").open("w") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                yield


def walk(source: Path, key: str) -> list[tuple[Path, str]]:
    """Return each file of ``source`` (a file or a folder) with the key it gets below ``key``.

    Raises:
        StorageError: If there is nothing to upload.
    """
    if source.is_file():
        return [(source, key)]
    files = sorted(file for file in source.rglob("*") if file.is_file())
    if not files:
        raise StorageError(f"There is nothing to upload at {source}: give a file, or a folder with files.")
    return [(file, f"{key}/{file.relative_to(source).as_posix()}") for file in files]


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise StorageError(f"{path} does not exist.") from None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}. Check the folder's rights and free space.") from error
