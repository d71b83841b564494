"""The Protocol of a store, and the way from a URL to one."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from fettle.errors import StorageError

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")  # variables with the credentials of S3


class ConflictError(StorageError):
    """Somebody else wrote the object first."""


class Store(Protocol):
    """Objects named by keys such as ``castings/3/model.onnx``.

    Every method raises :class:`StorageError` for what the folder or the service refuses; reading what is
    not there raises it too. A write is atomic: a reader sees the old bytes or the new ones.
    """

    url: str

    def read(self, key: str) -> bytes:
        """Return the object's bytes."""
        ...

    def write(self, key: str, data: bytes) -> None:
        """Write the object, whatever was there."""
        ...

    def tag(self, key: str) -> str | None:
        """Return what identifies the object's present content, ``None`` where there is none."""
        ...

    def write_if(self, key: str, data: bytes, *, tag: str | None) -> str:
        """Write the object only if its :meth:`tag` is still ``tag``; ``None`` means: only if it is new.

        Returns:
            Its new tag.

        Raises:
            ConflictError: If it has changed, or is gone; nothing is written.
        """
        ...

    def upload(self, source: Path, key: str) -> None:
        """Copy a file to ``key``, or a folder's files below it."""
        ...

    def download(self, key: str, target: Path) -> None:
        """Copy the object to the file ``target``, or the objects below ``key`` into the folder ``target``."""
        ...

    def exists(self, key: str) -> bool:
        """Tell whether an object has this key."""
        ...

    def list(self, prefix: str = "") -> tuple[str, ...]:
        """Return the keys below ``prefix`` (a folder, not a part of a name), sorted."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object and all below it; what is not there is no error."""
        ...

    def digest(self, key: str) -> str:
        """Return ``sha256:<hex>`` of the bytes as the store gives them back."""
        ...

    def modified(self, key: str) -> float:
        """Return when the object was written, seconds since the epoch by the store's clock."""
        ...


def open_store(url: str | Path, *, environ: Mapping[str, str] = os.environ) -> Store:
    """Open the store at ``url``: a folder (made at the first write) or ``s3://bucket/prefix``.

    S3 is reached as the AWS tools do: ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` (by default AWS itself),
    ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``, ``AWS_REGION``.

    Raises:
        StorageError: If the URL is of another kind, or the bucket cannot be used.
    """
    scheme, separator, _ = str(url).partition("://")
    if not separator or scheme == "file":
        from fettle.storage.folder import FolderStore

        return FolderStore(Path(str(url).removeprefix("file://")))
    if scheme == "s3":
        from fettle.storage.s3 import open_s3

        return open_s3(str(url), environ)
    raise StorageError(f"`repository` must be a folder or s3://bucket/prefix, got {str(url)!r}.")


def is_remote(url: str | Path) -> bool:
    """Tell whether that is in an object store, and no folder."""
    return str(url).startswith("s3://")


def check_key(key: str) -> str:
    """Return ``key`` if it is a plain relative path.

    Raises:
        StorageError: If it is empty, absolute, or climbs.
    """
    path = PurePosixPath(key)
    if not key or path.is_absolute() or ".." in path.parts or path.as_posix() != key:
        raise StorageError(f"A storage key must be a relative path such as 'model/1/model.onnx', got {key!r}.")
    return key
